"""The HTTP application of the inference port: who asks, which call it is, and inference from bytes to bytes.

No rule of inference lives here. What a body looks like is a codec's business; the other calls of the protocol are in
`oip` and `v1`.
"""

import asyncio
from collections.abc import Coroutine
from time import time
from typing import Any
from urllib.parse import unquote

from inference.errors import SwitchyardError
from inference.gateway.compression import IN_PLACE_BYTES, MIN_BYTES, choose_coding, compress
from inference.gateway.dataplane import Dataplane
from inference.gateway.errors import Internal, error_response, openai_error
from inference.gateway.exchange import Head, Request, Respond, Response, Running
from inference.gateway.express import Express
from inference.gateway.flight import Answer, Done
from inference.gateway.headers import RequestIds, answer_headers, child_trace, make_call, principal_of
from inference.gateway.heads import refuse_body
from inference.gateway.infer import Codec, InferCodec, Target, is_plain
from inference.gateway.oip import OpenInference, model_of, require_method
from inference.gateway.repository import Repository
from inference.gateway.statistics import Statistics
from inference.gateway.v1 import PREDICT, Embeddings, Predict, VersionOne, is_predict, speaks_openai
from inference.log import get_log
from inference.protocol.messages import InferRequest

log = get_log()


class Rest:
    def __init__(self, dataplane: Dataplane, statistics: Statistics, repository: Repository):
        self.dataplane = dataplane
        self.v1 = VersionOne(dataplane)
        self.v2 = OpenInference(dataplane, statistics, repository)
        self.infer_codec = InferCodec(dataplane)
        self.predict_codec = Predict(dataplane)
        self.request_ids = RequestIds()

    # exchange.Application

    def admit(self, head: Head) -> None:
        """Check the key before a body is read. Health needs none."""
        head.parts = split_path(head.url)
        tables = self.dataplane.tables
        head.pass_number = tables.keys_number
        if not needs_key(head.parts):
            refuse_body(head)
            return
        try:
            head.principal = tables.keys.authenticate(head.headers.get(b"authorization"), time())
        except SwitchyardError as error:
            self.dataplane.refused("", error)
            raise

    def still_admits(self, head: Head) -> bool:
        """Keys change seldom and all at once; besides that a key can only run out."""
        principal = head.principal
        if head.pass_number != self.dataplane.tables.keys_number or principal is None:
            return False
        return principal.expires_at_s is None or principal.expires_at_s > time()

    def refusal(self, error: SwitchyardError, head: Head | None = None) -> Response:
        """In the form of the API that was called, as far as its path is known."""
        return openai_error(error) if head is not None and speaks_openai(head.parts) else error_response(error)

    def handle(self, request: Request, respond: Respond) -> Running | None:
        target = request.head.target
        try:
            if target is None:
                return self.route(request, respond)
            if target.express is not None and (work := target.express.begin(request, respond)) is not None:
                return work
            return self.infer(request, target, respond)
        except SwitchyardError as error:
            self.send(request, self.refusal(error, request.head), respond)
        except Exception:
            log.exception("request_broke", url=request.url.decode("ascii", "replace")[:200])
            self.send(request, self.refusal(Internal(), request.head), respond)
        return None

    def route(self, request: Request, respond: Respond) -> Running | None:
        parts = request.parts
        if parts[-1] == "infer" and parts[0] == "v2" and len(parts) >= 4 and parts[1] == "models":
            model, version = (parts[2], "") if len(parts) == 4 and parts[2] else model_of(parts[2:-1])
            if request.method != b"POST":
                require_method(request, b"POST")
            request.head.target = target = self.target(request, model, version, self.infer_codec)
            return self.infer(request, target, respond)
        if parts[0] == "v1":
            return self.route_v1(request, respond)
        answer = self.v2.read(request)
        if isinstance(answer, Response):
            self.send(request, answer, respond)
            return None
        return self.wait_for(answer, request, respond)

    def route_v1(self, request: Request, respond: Respond) -> Running | None:
        parts = request.parts
        if parts == ["v1", "embeddings"]:
            require_method(request, b"POST")
            embeddings = Embeddings(self.dataplane, request.body)
            return self.infer(request, self.target(request, embeddings.body.model, "", embeddings), respond)
        if is_predict(parts):
            require_method(request, b"POST")
            return self.infer(
                request, self.target(request, parts[2].removesuffix(PREDICT), "", self.predict_codec), respond
            )
        self.send(request, self.v1.read(request), respond)
        return None

    def infer(self, request: Request, target: Target, respond: Respond) -> Running:
        """From the body to the answer's bytes. Raises SwitchyardError for a body that cannot be read."""
        try:
            asked = target.codec.decode(request, target)
        except SwitchyardError as error:
            self.dataplane.refused(target.model, error)
            raise

        flight = self.dataplane.begin(
            asked, target.call, request.arrived_s, self.teller(request, target.codec, asked, respond)
        )
        if target.express is not None:
            target.express.learn(request, asked)
        return flight

    def teller(self, request: Request, codec: Codec, asked: InferRequest, respond: Respond) -> Done:
        """Who tells the client how its inference ended."""

        def done(answer: Answer | None, error: BaseException | None) -> None:
            if answer is not None:
                self.deliver(request, codec, asked, answer, respond)
            elif isinstance(error, SwitchyardError):
                self.send(request, self.refusal(error, request.head), respond)
            # else it was cancelled: nobody listens any more

        return done

    def target(self, request: Request, model: str, version: str, codec: Codec) -> Target:
        """Raises SwitchyardError for a header that says nothing sensible."""
        try:
            target = Target(model, version, make_call(request.headers, principal_of(request), version), codec)
        except SwitchyardError as error:
            self.dataplane.refused(model, error)
            raise
        if codec is self.infer_codec and is_plain(request.headers):
            target.express = Express(self, target)
        return target

    def wait_for(self, answer: Coroutine[Any, Any, Response], request: Request, respond: Respond) -> Running:
        """Answer when it is there: for calls that are no inference, and may take a task."""

        def done(task: asyncio.Task[Response]) -> None:
            if task.cancelled():
                return
            error = task.exception()
            if error is None:
                response = task.result()
            elif isinstance(error, SwitchyardError):
                response = self.refusal(error, request.head)
            else:
                log.error("request_broke", url=request.url.decode("ascii", "replace")[:200], exc_info=error)
                response = self.refusal(Internal(), request.head)
            self.send(request, response, respond)

        task = asyncio.get_running_loop().create_task(answer)
        task.add_done_callback(done)
        return task

    def deliver(self, request: Request, codec: Codec, asked: InferRequest, answer: Answer, respond: Respond) -> None:
        """The answer as bytes, or why it cannot be sent so."""
        try:
            response = codec.encode(asked, answer)
        except SwitchyardError as error:
            self.send(request, self.refusal(error, request.head), respond)
            return
        except Exception:
            log.exception("answer_not_encoded", model=answer.response.model, version=answer.plan.label)
            self.send(request, self.refusal(Internal(), request.head), respond)
            return
        response.headers += answer_headers(
            answer.plan,
            answer.reason,
            answer.queue_s,
            answer.compute_s,
            answer.total_s,
            self.request_ids.of(request.head.headers),
        )
        self.send_named(request, response, respond)

    def send(self, request: Request, response: Response, respond: Respond) -> None:
        """Add the id by which people find this request again, and let the answer go."""
        response.headers += b"x-request-id: %b\r\n" % self.request_ids.of(request.head.headers)
        self.send_named(request, response, respond)

    def send_named(self, request: Request, response: Response, respond: Respond) -> None:
        headers = request.head.headers
        if b"traceparent" in headers and (trace := child_trace(headers[b"traceparent"])):
            response.headers += b"traceparent: %b\r\n" % trace
        if (
            (response.tail or len(response.body) >= MIN_BYTES)
            and b"accept-encoding" in headers
            and (coding := choose_coding(headers[b"accept-encoding"]))
        ):
            send_compressed(response, coding, respond)
        else:
            respond(response)


def send_compressed(response: Response, coding: bytes, respond: Respond) -> None:
    """In a thread where it takes long; a client that hangs up meanwhile gets nothing."""
    plain = response.body = b"".join((response.body, *response.tail))
    response.tail = ()

    def done(body: bytes) -> None:
        response.headers += b"vary: accept-encoding\r\n"
        if len(body) < len(plain):
            response.body = body
            response.headers += b"content-encoding: %b\r\n" % coding
        respond(response)

    if len(plain) <= IN_PLACE_BYTES:
        done(compress(coding, plain))
        return
    future = asyncio.get_running_loop().run_in_executor(None, compress, coding, plain)
    future.add_done_callback(lambda made: done(plain if made.cancelled() or made.exception() else made.result()))


def needs_key(parts: list[str]) -> bool:
    """Everything but health: the server's, and `/v2/models/{m}[/versions/{v}]/ready`, which the protocol counts in."""
    if parts[-1] == "ready" and len(parts) in (4, 6):
        return False
    return parts != ["v2"] and parts[:2] != ["v2", "health"]


def split_path(url: bytes) -> list[str]:
    """The parts of a request target's path, never none. Proxies may send it with scheme and host before it."""
    path = url.partition(b"?")[0].decode("ascii", "replace")
    if not path.startswith("/"):
        path = path.partition("://")[2].partition("/")[2]
    return (unquote(path) if "%" in path else path).strip("/").split("/")
