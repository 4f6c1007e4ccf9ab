"""The Open Inference Protocol v2 with Triton's extensions over HTTP: everything but inference itself."""

from collections.abc import Coroutine
from typing import Any

import msgspec
from msgspec import Struct

from inference import __version__
from inference.errors import BadInput, MethodNotAllowed, NotReady, PathNotFound, UnsupportedFeature
from inference.gateway.catalog import EXTENSIONS, REPOSITORY, SERVER, describe_model
from inference.gateway.dataplane import Dataplane
from inference.gateway.exchange import Request, Response
from inference.gateway.headers import principal_of, timeout_of
from inference.gateway.keys import may_call, require_scope
from inference.gateway.model_config import describe_config
from inference.gateway.repository import Repository
from inference.gateway.statistics import Statistics
from inference.protocol.json_codec import SHARED_MEMORY
from inference.spec import ApiKey, TensorSpec

READ = (b"GET", b"HEAD")
UNSUPPORTED = {
    "systemsharedmemory": SHARED_MEMORY,
    "cudasharedmemory": SHARED_MEMORY,
    "trace": "Tracing is not set over HTTP; send a traceparent header, which comes back with each answer.",
    "logging": "Logging is not set over HTTP; it is SWITCHYARD_LOG_LEVEL at the start.",
    "generate": "Text generation is not served; POST to /infer.",
    "generate_stream": "Text generation is not served; POST to /infer.",
}

Later = Coroutine[Any, Any, Response]


class IndexBody(Struct):
    ready: bool = False


class RepositoryBody(Struct):
    parameters: dict[str, Any] = {}


class OpenInference:
    """`read` answers at once or with a coroutine that will."""

    def __init__(self, dataplane: Dataplane, statistics: Statistics, repository: Repository):
        self.dataplane = dataplane
        self.statistics = statistics
        self.repository = repository

    def read(self, request: Request) -> Response | Later:
        parts = request.parts
        match parts:
            case ["v2"]:
                require_method(request, *READ)
                return self.describe_server()
            case ["v2", "health", "live"]:
                require_method(request, *READ)
                return json_response({"live": True})
            case ["v2", "health", "ready"]:
                require_method(request, *READ)
                self.dataplane.check_ready()
                return json_response({"ready": True, "live": True})
            case ["v2", "repository", *rest]:
                require_method(request, b"POST")
                return self.read_repository(request, rest)
            case ["v2", "models", *rest]:
                if not (rest and (rest[-1] in UNSUPPORTED or rest[-2:] == ["trace", "setting"])):
                    require_method(request, *READ)
                    return self.read_models(request, rest)
        for part in parts[1:]:
            if part in UNSUPPORTED:
                raise UnsupportedFeature(UNSUPPORTED[part])
        raise PathNotFound(f"There is nothing at {request.url.decode('ascii', 'replace')[:200]!r}. See GET /v2/models.")

    def describe_server(self) -> Response:
        more = (REPOSITORY,) if self.repository.offered else ()
        return json_response(
            {"name": SERVER, "version": __version__, "extensions": sorted(("binary_tensor_data", *EXTENSIONS, *more))}
        )

    # Models

    def read_models(self, request: Request, rest: list[str]) -> Response | Later:
        match rest:
            case []:
                return self.list_models(principal_of(request))
            case ["stats"]:
                return self.model_stats(principal_of(request), "", "")
            case [*of, "ready"] if len(of) in (1, 3):
                return self.model_ready(*model_of(of))
            case [*of, "stats"] if len(of) in (1, 3):
                return self.model_stats(principal_of(request), *model_of(of))
            case [*of, "config"] if len(of) in (1, 3):
                return json_response(describe_config(self.dataplane, principal_of(request), *model_of(of)))
        return self.model_metadata(principal_of(request), *model_of(rest))

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

    async def model_stats(self, principal: ApiKey, model: str, version: str) -> Response:
        return json_response({"model_stats": await self.statistics.read(principal, model, version)})

    # Repository

    def read_repository(self, request: Request, rest: list[str]) -> Response | Later:
        match rest:
            case ["index"]:
                only_ready = read_body(request, IndexBody).ready
                return json_response(self.repository.index(principal_of(request), only_ready))
            case ["models", model, ("load" | "unload") as action]:
                check_parameters(read_body(request, RepositoryBody).parameters)
                return self.change(request, model, action)
            case [_, "index"] | [_, "models", _, "load" | "unload"]:
                raise UnsupportedFeature("There is one repository, and it has no name: leave the name out of the path.")
        raise PathNotFound("Repository calls are index, models/NAME/load and models/NAME/unload.")

    async def change(self, request: Request, model: str, action: str) -> Response:
        principal, timeout_s = principal_of(request), timeout_of(request.headers)
        if action == "load":
            await self.repository.load(principal, model, timeout_s)
        else:
            await self.repository.unload(principal, model, timeout_s)
        return json_response({"name": model, action: True})


Body = Any


def read_body(request: Request, kind: type[Body]) -> Body:
    """The JSON of a body that may be left out. Raises BadInput."""
    try:
        return msgspec.json.decode(request.body, type=kind) if request.body else kind()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"The body is not what this call takes: {error}.") from None


def check_parameters(parameters: dict[str, Any]) -> None:
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise UnsupportedFeature(
                f"Parameter {name[:80]!r} would bring a model from outside; versions are registered in the console, "
                "where they are checked first."
            )
        if name != "unload_dependents":  # nothing here depends on another model
            raise BadInput(f"There is no parameter {name[:80]!r} here.")


def model_of(parts: list[str]) -> tuple[str, str]:
    """(model, version) of {m}[/versions/{v}]. Raises PathNotFound."""
    match parts:
        case [model] if model:
            return model, ""
        case [model, "versions", version] if model and version:
            return model, version
    raise PathNotFound("The path of a model is /v2/models/NAME or /v2/models/NAME/versions/VERSION.")


def require_method(request: Request, *allowed: bytes) -> None:
    if request.method not in allowed:
        raise MethodNotAllowed(request.method.decode("ascii", "replace"), ", ".join(name.decode() for name in allowed))


def json_response(value: object) -> Response:
    return Response(200, msgspec.json.encode(value))


def tensor_metadata(tensor: TensorSpec) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
