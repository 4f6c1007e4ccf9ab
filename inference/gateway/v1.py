"""/v1 over HTTP: OpenAI's embeddings and models, and KServe's predict, on the same models as /v2.

Both APIs have a list of models at the same path; the answer holds both.
"""

from typing import Any

from inference.errors import PathNotFound, UnsupportedFeature
from inference.gateway.dataplane import Dataplane
from inference.gateway.exchange import Request, Response
from inference.gateway.flight import Answer
from inference.gateway.headers import pinned_by_header, principal_of
from inference.gateway.infer import Target
from inference.gateway.keys import may_call, require_model, require_scope
from inference.gateway.oip import READ, json_response, require_method
from inference.protocol import kserve_codec, openai_codec
from inference.protocol.messages import InferRequest
from inference.spec import Version

PREDICT, EXPLAIN = ":predict", ":explain"
OWNER = "switchyard"


class VersionOne:
    """What is read; inference goes through `Embeddings` and `Predict`, the codecs below."""

    def __init__(self, dataplane: Dataplane):
        self.dataplane = dataplane

    def read(self, request: Request) -> Response:
        match request.parts:
            case ["v1", "models"]:
                require_method(request, *READ)
                return self.list_models(request)
            case ["v1", "models", model] if model.endswith(EXPLAIN):
                raise UnsupportedFeature("Explanations are not offered; :predict is.")
            case ["v1", "models", model]:
                require_method(request, *READ)
                return self.describe_model(request, model)
        raise PathNotFound("Under /v1 there are embeddings, models, models/NAME and models/NAME:predict.")

    def list_models(self, request: Request) -> Response:
        principal = principal_of(request)
        require_scope(principal, "infer", "read")
        models = self.dataplane.tables.documents.models
        names = sorted(name for name in models if may_call(principal, name))
        embedding = [name for name in names if models[name].versions and self.gives_embeddings(name)]
        return json_response(
            {"object": "list", "data": [describe_embedding_model(name) for name in embedding], "models": names}
        )

    def describe_model(self, request: Request, model: str) -> Response:
        principal = principal_of(request)
        require_scope(principal, "infer", "read")
        require_model(principal, model)
        facts: dict[str, Any] = {"name": model, "ready": self.dataplane.is_ready(model)}
        if self.gives_embeddings(model):
            facts.update(describe_embedding_model(model))
        return json_response(facts)

    def gives_embeddings(self, model: str) -> bool:
        _, version = self.dataplane.version_for(model, "")
        return openai_codec.find_form(version) is not None


def describe_embedding_model(name: str) -> dict[str, Any]:
    # The field has to be a number, and when a model was made is known to the console alone.
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}


def is_predict(parts: list[str]) -> bool:
    return len(parts) == 3 and parts[:2] == ["v1", "models"] and parts[2].endswith(PREDICT)


def speaks_openai(parts: list[str]) -> bool:
    """Whether errors of this path have OpenAI's form."""
    return parts[:1] == ["v1"] and not (parts[-1].endswith((PREDICT, EXPLAIN)))


def version_meant(dataplane: Dataplane, request: Request, model: str) -> Version:
    """The version whose signature a body is read by. Raises Refused kinds before it says whether the model exists."""
    dataplane.model_for(model, principal_of(request))
    _, version = dataplane.version_for(model, pinned_by_header(request.headers))
    return version


class Predict:
    """/v1/models/{m}:predict."""

    def __init__(self, dataplane: Dataplane):
        self.dataplane = dataplane

    def decode(self, request: Request, target: Target) -> InferRequest:
        meant = version_meant(self.dataplane, request, target.model)
        return kserve_codec.decode_request(target.model, target.version, request.body, meant.signature)

    def encode(self, asked: InferRequest, answer: Answer) -> Response:
        return Response(200, kserve_codec.encode_response(answer.response))


class Embeddings:
    """/v1/embeddings: one request's, for the answer depends on what the body asked for."""

    def __init__(self, dataplane: Dataplane, body: bytes):
        self.dataplane = dataplane
        self.body = openai_codec.read_body(body)
        self.tokens = 0

    def decode(self, request: Request, target: Target) -> InferRequest:
        meant = version_meant(self.dataplane, request, target.model)
        form = openai_codec.find_form(meant)
        if form is None:
            raise openai_codec.BadParameter(
                "model",
                f"Model {target.model!r} does not turn text or tokens into vectors; GET /v1/models lists those "
                "that do.",
            )
        asked, self.tokens = openai_codec.to_request(self.body, target.version, form, meant.signature)
        return asked

    def encode(self, asked: InferRequest, answer: Answer) -> Response:
        # Tokens are counted by the tokenizer that made them, or were sent as such.
        tokens = answer.tokens or self.tokens
        return Response(200, openai_codec.encode_response(self.body, answer.response.outputs[0], tokens))
