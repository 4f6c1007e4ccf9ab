"""Where requests for inference go, and how their bodies are read and their answers written: /v2/models/{m}/infer."""

from typing import Protocol

from msgspec import Struct

from inference.errors import BadInput
from inference.gateway.dataplane import Dataplane
from inference.gateway.exchange import Request, Response
from inference.gateway.express import Express
from inference.gateway.flight import Answer, Call
from inference.gateway.headers import Headers, pinned_by_header
from inference.protocol import binary_codec, json_codec, json_quick
from inference.protocol.messages import InferRequest


class Codec(Protocol):
    """How a call's body becomes a request, and an answer its body. Both raise SwitchyardError."""

    def decode(self, request: Request, target: "Target") -> InferRequest: ...

    def encode(self, asked: InferRequest, answer: Answer) -> Response: ...


class Target(Struct):
    """What a head says of its requests: worked out once, however many come with the same."""

    model: str
    version: str  # by the path
    call: Call
    codec: Codec
    kind: type | None = None  # of the values that the last JSON body held
    express: Express | None = None  # where bodies may be plain JSON


class InferCodec:
    """JSON, or JSON with binary tensors after it, or one raw tensor."""

    def __init__(self, dataplane: Dataplane):
        self.dataplane = dataplane

    def decode(self, request: Request, target: Target) -> InferRequest:
        length = request.head.headers.get(b"inference-header-content-length")
        if length is None:
            return self.decode_json(request.body, target)
        if not length.isdigit() or len(length) > 18:
            raise BadInput("Inference-Header-Content-Length takes a number of bytes.")
        if int(length):
            return binary_codec.decode_request(target.model, target.version, request.body, int(length))
        _, meant = self.dataplane.version_for(target.model, target.version or pinned_by_header(request.headers))
        return binary_codec.decode_raw_request(target.model, target.version, request.body, meant.signature)

    def decode_json(self, body: bytes, target: Target) -> InferRequest:
        if target.kind is not None:
            asked = json_quick.decode_request(target.kind, target.model, target.version, body)
            if asked is not None:
                return asked
        asked = json_codec.decode_request(target.model, target.version, body)
        target.kind = json_quick.guess_kind(asked)
        return asked

    def encode(self, asked: InferRequest, answer: Answer) -> Response:
        if (asked.outputs or asked.binary_output) and binary_codec.wants_binary(asked):
            body, tail, head_length = binary_codec.encode_response(answer.response, asked)
            headers = b"inference-header-content-length: %d\r\n" % head_length
            return Response(200, body, b"application/octet-stream", headers, tail)
        return Response(200, json_codec.encode_response(answer.response))


def is_plain(headers: Headers) -> bool:
    """Whether all that comes with them are bodies of JSON, and all that their answers need of them is an id."""
    return b"inference-header-content-length" not in headers and b"traceparent" not in headers
