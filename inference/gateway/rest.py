"""The Open Inference Protocol v2 over HTTP: paths to calls, answers to bytes. No rule of inference lives here."""

from collections.abc import Callable
from time import time
from urllib.parse import unquote

import msgspec

from inference import __version__
from inference.errors import BadInput, MethodNotAllowed, MissingKey, NotReady, PathNotFound, SwitchyardError
from inference.gateway.catalog import SERVER, describe_model
from inference.gateway.dataplane import Answer, Call, Dataplane
from inference.gateway.eager import Eager
from inference.gateway.errors import Internal, error_response
from inference.gateway.exchange import Request, Response, Running
from inference.gateway.keys import may_call, require_scope
from inference.gateway.request_headers import RequestIds, canary_key_of, continue_trace, pinned_by_header, timeout_of
from inference.log import get_log
from inference.policy.routing import Facts
from inference.protocol import binary_codec, json_codec
from inference.protocol.messages import InferRequest
from inference.spec import ApiKey, TensorSpec

log = get_log()

EXTENSIONS = ["binary_tensor_data", "parameters"]
Respond = Callable[[Response], None]


class Rest:
    """The HTTP application of the inference port."""

    def __init__(self, dataplane: Dataplane):
        self.dataplane = dataplane
        self.request_ids = RequestIds()

    # http.Application

    def admit(self, request: Request) -> None:
        """Check the key before a body is read. Health needs none."""
        request.parts = split_path(request.url)
        if not needs_key(request.parts):
            return
        try:
            request.principal = self.dataplane.tables.keys.authenticate(request.headers.get(b"authorization"), time())
        except SwitchyardError as error:
            self.dataplane.refused("", error)
            raise

    def refusal(self, error: SwitchyardError) -> Response:
        return error_response(error)

    def handle(self, request: Request, respond: Respond) -> Running | None:
        try:
            return self.route(request, respond)
        except SwitchyardError as error:
            respond(self.named(request, error_response(error)))
        except Exception:
            log.exception("request_broke", url=request.url.decode("ascii", "replace")[:200])
            respond(self.named(request, error_response(Internal())))
        return None

    def route(self, request: Request, respond: Respond) -> Running | None:
        parts = request.parts
        if parts[-1] == "infer" and len(parts) >= 4 and parts[:2] == ["v2", "models"]:
            model, version = model_of(parts[:-1])
            require_method(request, b"POST")
            return self.start_inference(request, model, version, respond)
        require_method(request, b"GET", b"HEAD")
        respond(self.named(request, self.read(request, parts)))
        return None

    # Reading

    def read(self, request: Request, parts: list[str]) -> Response:
        match parts:
            case ["v2"]:
                return json_response({"name": SERVER, "version": __version__, "extensions": EXTENSIONS})
            case ["v2", "health", "live"]:
                return json_response({"live": True})
            case ["v2", "health", "ready"]:
                return self.server_ready()
            case ["v2", "models"]:
                return self.list_models(principal_of(request))
            case ["v2", "models", *rest] if rest and rest[-1] == "ready" and len(rest) in (2, 4):
                return self.model_ready(*model_of(parts[:-1]))
            case ["v2", "models", *_]:
                return self.model_metadata(principal_of(request), *model_of(parts))
        raise PathNotFound(f"There is nothing at {request.url.decode('ascii', 'replace')[:200]!r}. See GET /v2/models.")

    def server_ready(self) -> Response:
        self.dataplane.check_ready()
        return json_response({"ready": True, "live": True})

    def list_models(self, principal: ApiKey) -> Response:
        require_scope(principal, "infer", "read")
        models = self.dataplane.tables.documents.models
        return json_response({"models": sorted(name for name in models if may_call(principal, name))})

    def model_ready(self, model: str, version: str) -> Response:
        if not self.dataplane.is_ready(model, version):
            raise NotReady(f"{model}{version and f' version {version}'} is not ready; it may be loading.")
        return json_response({"name": model, "ready": True})

    def model_metadata(self, principal: ApiKey, model: str, version: str) -> Response:
        described = describe_model(self.dataplane, principal, model, version)
        return json_response(
            {
                "name": model,
                "versions": described.versions,
                "platform": described.platform,
                "inputs": [tensor_metadata(tensor) for tensor in described.signature.inputs],
                "outputs": [tensor_metadata(tensor) for tensor in described.signature.outputs],
            }
        )

    # Inference

    def start_inference(self, request: Request, model: str, version: str, respond: Respond) -> Running | None:
        try:
            call = self.call_of(request, version)
            infer_request = self.decode(request, model, version)
        except SwitchyardError as error:
            self.dataplane.refused(model, error)
            raise

        def done(answer: Answer | None, error: BaseException | None) -> None:
            if answer is not None:
                response = self.encode(infer_request, answer)
            elif isinstance(error, SwitchyardError):
                response = error_response(error)
            else:
                return  # cancelled: nobody listens any more
            respond(self.named(request, response))

        return Eager(self.dataplane.infer(infer_request, call), done)

    def call_of(self, request: Request, version: str) -> Call:
        headers, principal = request.headers, principal_of(request)
        facts = Facts(
            pinned=version or pinned_by_header(headers),
            canary_key=canary_key_of(headers),
            api_key=principal.id,
            headers=headers,
        )
        return Call(principal, facts, request.arrived_s, timeout_of(headers))

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
        """The answer as bytes, or why it cannot be sent so."""
        try:
            return self.encode_answer(asked, answer)
        except SwitchyardError as error:
            return error_response(error)
        except Exception:
            log.exception("answer_not_encoded", model=answer.response.model, version=answer.plan.label)
            return error_response(Internal())

    def encode_answer(self, asked: InferRequest, answer: Answer) -> Response:
        headers = b"x-model-version: %b\r\nx-route-reason: %b\r\nserver-timing: %b\r\n" % (
            answer.plan.label_bytes,
            answer.reason.encode(),
            b"queue;dur=%.3f, compute;dur=%.3f, total;dur=%.3f"
            % (answer.queue_s * 1e3, answer.compute_s * 1e3, answer.total_s * 1e3),
        )
        if binary_codec.wants_binary(asked):
            body, head_length = binary_codec.encode_response(answer.response, asked)
            headers += b"inference-header-content-length: %d\r\n" % head_length
            return Response(200, body, b"application/octet-stream", headers)
        return Response(200, json_codec.encode_response(answer.response), headers=headers)

    def named(self, request: Request, response: Response) -> Response:
        """Add the ids by which people find this request again."""
        response.headers += b"x-request-id: %b\r\n" % self.request_ids.of(request.headers)
        trace = continue_trace(request.headers)
        if trace is not None:
            response.headers += b"traceparent: %b\r\n" % trace
        return response


def needs_key(parts: list[str]) -> bool:
    """Everything but health: the server's, and `/v2/models/{m}[/versions/{v}]/ready`, which the protocol counts in."""
    if parts[-1] == "ready" and len(parts) in (4, 6):
        return False
    return parts != ["v2"] and parts[:2] != ["v2", "health"]


def principal_of(request: Request) -> ApiKey:
    """Whose key came with the request. Raises MissingKey where the head was let in without one."""
    if not isinstance(request.principal, ApiKey):
        raise MissingKey
    return request.principal


def split_path(url: bytes) -> list[str]:
    """The parts of a request target's path, never none. Proxies may send it with scheme and host before it."""
    path = url.partition(b"?")[0].decode("ascii", "replace")
    if not path.startswith("/"):
        path = path.partition("://")[2].partition("/")[2]
    return (unquote(path) if "%" in path else path).strip("/").split("/")


def model_of(parts: list[str]) -> tuple[str, str]:
    """(model, version) of v2/models/{m}[/versions/{v}]. Raises PathNotFound."""
    match parts:
        case [_, _, model] if model:
            return model, ""
        case [_, _, model, "versions", version] if model and version:
            return model, version
    raise PathNotFound("The path of a model is /v2/models/NAME or /v2/models/NAME/versions/VERSION.")


def require_method(request: Request, *allowed: bytes) -> None:
    if request.method not in allowed:
        raise MethodNotAllowed(request.method.decode("ascii", "replace"), ", ".join(name.decode() for name in allowed))


def json_response(value: object) -> Response:
    return Response(200, msgspec.json.encode(value))


def tensor_metadata(tensor: TensorSpec) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
