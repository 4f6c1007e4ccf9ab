"""The HTTP application of the inference port: who asks, which call it is, and inference from bytes to bytes.

No rule of inference lives here. What a body looks like is a codec's business; the other calls of the protocol are in
`oip` and `v1`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from time import time
from typing import Any, Protocol
from urllib.parse import unquote

from inference.errors import BadInput, SwitchyardError
from inference.gateway.compression import IN_PLACE_BYTES, MIN_BYTES, choose_coding, compress
from inference.gateway.dataplane import Answer, Dataplane
from inference.gateway.eager import Eager
from inference.gateway.errors import Internal, error_response, openai_error
from inference.gateway.exchange import Request, Response, Running
from inference.gateway.headers import RequestIds, child_trace, make_call, pinned_by_header, principal_of
from inference.gateway.heads import refuse_body
from inference.gateway.oip import OpenInference, model_of, require_method
from inference.gateway.repository import Repository
from inference.gateway.statistics import Statistics
from inference.gateway.v1 import PREDICT, Embeddings, Predict, VersionOne, is_predict, speaks_openai
from inference.log import get_log
from inference.protocol import binary_codec, json_codec
from inference.protocol.messages import InferRequest

log = get_log()

ANSWER_HEADERS = (
    b"x-model-version: %b\r\nx-route-reason: %b\r\nserver-timing: queue;dur=%.3f, compute;dur=%.3f, total;dur=%.3f\r\n"
)

Respond = Callable[[Response], None]


class Codec(Protocol):
    """How a call's body becomes a request, and an answer its body. Both raise SwitchyardError."""

    def decode(self, request: Request, model: str, version: str) -> InferRequest: ...

    def encode(self, asked: InferRequest, answer: Answer) -> Response: ...


class Rest:
    def __init__(self, dataplane: Dataplane, statistics: Statistics, repository: Repository):
        self.dataplane = dataplane
        self.v1 = VersionOne(dataplane)
        self.v2 = OpenInference(dataplane, statistics, repository)
        self.infer_codec = InferCodec(dataplane)
        self.predict_codec = Predict(dataplane)
        self.request_ids = RequestIds()

    # exchange.Application

    def admit(self, request: Request) -> None:
        """Check the key before a body is read. Health needs none."""
        request.parts = split_path(request.url)
        if not needs_key(request.parts):
            refuse_body(request)
            return
        try:
            request.principal = self.dataplane.tables.keys.authenticate(request.headers.get(b"authorization"), time())
        except SwitchyardError as error:
            self.dataplane.refused("", error)
            raise

    def refusal(self, error: SwitchyardError, request: Request | None = None) -> Response:
        """In the form of the API that was called, as far as its path is known."""
        return openai_error(error) if request is not None and speaks_openai(request.parts) else error_response(error)

    def handle(self, request: Request, respond: Respond) -> Running | None:
        try:
            return self.route(request, respond)
        except SwitchyardError as error:
            self.send(request, self.refusal(error, request), respond)
        except Exception:
            log.exception("request_broke", url=request.url.decode("ascii", "replace")[:200])
            self.send(request, self.refusal(Internal(), request), respond)
        return None

    def route(self, request: Request, respond: Respond) -> Running | None:
        parts = request.parts
        if parts[-1] == "infer" and parts[0] == "v2" and len(parts) >= 4 and parts[1] == "models":
            model, version = (parts[2], "") if len(parts) == 4 and parts[2] else model_of(parts[2:-1])
            if request.method != b"POST":
                require_method(request, b"POST")
            return self.infer(request, model, version, self.infer_codec, respond)
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
            return self.infer(request, embeddings.body.model, "", embeddings, respond)
        if is_predict(parts):
            require_method(request, b"POST")
            return self.infer(request, parts[2].removesuffix(PREDICT), "", self.predict_codec, respond)
        self.send(request, self.v1.read(request), respond)
        return None

    def infer(self, request: Request, model: str, version: str, codec: Codec, respond: Respond) -> Running | None:
        try:
            call = make_call(request.headers, principal_of(request), version, request.arrived_s)
            asked = codec.decode(request, model, version)
        except SwitchyardError as error:
            self.dataplane.refused(model, error)
            raise

        def done(answer: Answer | None, error: BaseException | None) -> None:
            if answer is not None:
                response = self.encode(request, codec, asked, answer)
            elif isinstance(error, SwitchyardError):
                response = self.refusal(error, request)
            else:
                return  # cancelled: nobody listens any more
            self.send(request, response, respond)

        return Eager(self.dataplane.infer(asked, call), done)

    def wait_for(self, answer: Coroutine[Any, Any, Response], request: Request, respond: Respond) -> Running:
        """Answer when it is there: for calls that are no inference, and may take a task."""

        def done(task: asyncio.Task[Response]) -> None:
            if task.cancelled():
                return
            error = task.exception()
            if error is None:
                response = task.result()
            elif isinstance(error, SwitchyardError):
                response = self.refusal(error, request)
            else:
                log.error("request_broke", url=request.url.decode("ascii", "replace")[:200], exc_info=error)
                response = self.refusal(Internal(), request)
            self.send(request, response, respond)

        task = asyncio.get_running_loop().create_task(answer)
        task.add_done_callback(done)
        return task

    def encode(self, request: Request, codec: Codec, asked: InferRequest, answer: Answer) -> Response:
        """The answer as bytes, or why it cannot be sent so."""
        try:
            response = codec.encode(asked, answer)
        except SwitchyardError as error:
            return self.refusal(error, request)
        except Exception:
            log.exception("answer_not_encoded", model=answer.response.model, version=answer.plan.label)
            return self.refusal(Internal(), request)
        response.headers += ANSWER_HEADERS % (
            answer.plan.label_bytes,
            answer.reason.encode(),
            answer.queue_s * 1e3,
            answer.compute_s * 1e3,
            answer.total_s * 1e3,
        )
        return response

    def send(self, request: Request, response: Response, respond: Respond) -> None:
        """Add the ids by which people find this request again, and let the answer go."""
        headers = request.headers
        response.headers += b"x-request-id: %b\r\n" % self.request_ids.of(headers)
        if b"traceparent" in headers and (trace := child_trace(headers[b"traceparent"])):
            response.headers += b"traceparent: %b\r\n" % trace
        if (
            len(response.body) >= MIN_BYTES
            and b"accept-encoding" in headers
            and (coding := choose_coding(headers[b"accept-encoding"]))
        ):
            send_compressed(response, coding, respond)
        else:
            respond(response)


def send_compressed(response: Response, coding: bytes, respond: Respond) -> None:
    """In a thread where it takes long; a client that hangs up meanwhile gets nothing."""
    plain = response.body

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


class InferCodec:
    """/v2/models/{m}/infer: JSON, or JSON with binary tensors after it, or one raw tensor."""

    def __init__(self, dataplane: Dataplane):
        self.dataplane = dataplane

    def decode(self, request: Request, model: str, version: str) -> InferRequest:
        length = request.headers.get(b"inference-header-content-length")
        if length is None:
            return json_codec.decode_request(model, version, request.body)
        if not length.isdigit() or len(length) > 18:
            raise BadInput("Inference-Header-Content-Length takes a number of bytes.")
        if int(length):
            return binary_codec.decode_request(model, version, request.body, int(length))
        _, meant = self.dataplane.version_for(model, version or pinned_by_header(request.headers))
        return binary_codec.decode_raw_request(model, version, request.body, meant.signature)

    def encode(self, asked: InferRequest, answer: Answer) -> Response:
        if binary_codec.wants_binary(asked):
            body, head_length = binary_codec.encode_response(answer.response, asked)
            headers = b"inference-header-content-length: %d\r\n" % head_length
            return Response(200, body, b"application/octet-stream", headers)
        return Response(200, json_codec.encode_response(answer.response))


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
