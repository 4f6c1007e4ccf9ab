"""Every error that Switchyard's data plane raises on purpose.

    SwitchyardError
    ├── BadInput                 the request cannot be right, whoever answers it
    │   └── UnsupportedFeature   right by the protocol, not offered here
    ├── NotFound                 ModelNotFound · VersionNotFound · PathNotFound
    ├── Refused                  MissingKey · BadKey · ScopeMissing · ModelNotAllowed
    ├── Busy                     QueueFull · NotReady · OverQuota · PoisonInput     carry retry_after_s
    ├── DeadlinePassed
    ├── ClientError              TooLarge · HeadTooLarge · SlowClient · MethodNotAllowed
    ├── Failed                   the model or a worker broke: ModelFailed · OutputNotFinite · WorkerLost
    ├── ArtifactError            CorruptArtifact · UnsafeArtifact · UnsupportedFormat
    └── DocumentError            StaleDocument · BadDocument

A message says what was asked, what is so, and what to do next. `code` is stable: clients may match on it.
HTTP and gRPC numbers stand in `gateway/errors.py`, nowhere else.
"""


class SwitchyardError(Exception):
    """Root of the tree. `str(error)` is fit for a client: no paths, no secrets, no stack."""

    code = "internal"


class BadInput(SwitchyardError):
    code = "bad_input"


class UnsupportedFeature(BadInput):
    code = "unsupported"


class NotFound(SwitchyardError):
    code = "not_found"


class PathNotFound(NotFound):
    code = "path_not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"

    def __init__(self, model: str):
        super().__init__(f"No model is called {model!r} here. GET /v2/models lists those your key may call.")
        self.model = model


class VersionNotFound(NotFound):
    code = "version_not_found"

    def __init__(self, model: str, version: str, known: str = ""):
        live = f" Live versions: {known}." if known else ""
        super().__init__(f"Model {model!r} has no live version or alias {version[:80]!r}.{live}")
        self.model, self.version = model, version


class Refused(SwitchyardError):
    code = "refused"


class MissingKey(Refused):
    code = "key_missing"

    def __init__(self) -> None:
        super().__init__("This needs an API key: send 'Authorization: Bearer sy_…'. Keys are made in the console.")


class BadKey(Refused):
    code = "key_invalid"

    def __init__(self, why: str = "is not known or was revoked"):
        super().__init__(f"The API key {why}. Make or rotate one in the console under Settings, API keys.")


class ScopeMissing(Refused):
    code = "scope_missing"

    def __init__(self, scope: str):
        super().__init__(f"The API key lacks the scope {scope!r}. Use a key that has it, or ask an admin to add it.")
        self.scope = scope


class ModelNotAllowed(Refused):
    code = "model_not_allowed"

    def __init__(self, model: str):
        super().__init__(f"The API key may not call model {model!r}. Ask an admin to add it to the key's models.")
        self.model = model


class Busy(SwitchyardError):
    """Worth another try after `retry_after_s`."""

    code = "busy"

    def __init__(self, message: str, retry_after_s: float = 1.0):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(Busy):
    code = "queue_full"


class NotReady(Busy):
    code = "not_ready"


class OverQuota(Busy):
    code = "over_quota"


class PoisonInput(Busy):
    code = "poison_input"


class DeadlinePassed(SwitchyardError):
    code = "deadline_passed"


class ClientError(SwitchyardError):
    code = "client_error"


class TooLarge(ClientError):
    code = "too_large"


class HeadTooLarge(TooLarge):
    code = "head_too_large"


class SlowClient(ClientError):
    code = "slow_client"


class MethodNotAllowed(ClientError):
    code = "method_not_allowed"

    def __init__(self, method: str, allowed: str):
        super().__init__(f"{method} is not allowed here; use {allowed}.")
        self.allowed = allowed


class Failed(SwitchyardError):
    code = "internal"


class ModelFailed(Failed):
    code = "model_failed"


class OutputNotFinite(Failed):
    code = "output_not_finite"


class WorkerLost(Failed):
    """The worker died with this request in hand. The gateway retries it; clients see it only when that fails too."""

    code = "worker_lost"


class ArtifactError(SwitchyardError):
    code = "artifact_error"


class CorruptArtifact(ArtifactError):
    code = "artifact_corrupt"


class UnsafeArtifact(ArtifactError):
    code = "artifact_unsafe"


class UnsupportedFormat(ArtifactError):
    code = "format_unsupported"


class DocumentError(SwitchyardError):
    code = "document_error"


class StaleDocument(DocumentError):
    """An older (epoch, generation) was offered than the one in force."""

    code = "document_stale"


class BadDocument(DocumentError):
    code = "document_bad"
