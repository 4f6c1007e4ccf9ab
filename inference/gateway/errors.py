"""The one table of errors to HTTP numbers and gRPC codes, and the body of HTTP: {"error": message, "code": code}."""

from collections.abc import Callable
from math import ceil

import msgspec

from inference import errors
from inference.errors import (
    BadInput,
    Busy,
    DeadlinePassed,
    MethodNotAllowed,
    ModelFailed,
    OutputNotFinite,
    SwitchyardError,
    UnsupportedFeature,
)
from inference.gateway.exchange import Response

STATUS: dict[type[SwitchyardError], tuple[int, str]] = {
    errors.BadInput: (400, "INVALID_ARGUMENT"),
    errors.UnsupportedFeature: (501, "UNIMPLEMENTED"),
    errors.NotFound: (404, "NOT_FOUND"),
    errors.Refused: (403, "PERMISSION_DENIED"),
    errors.MissingKey: (401, "UNAUTHENTICATED"),
    errors.BadKey: (401, "UNAUTHENTICATED"),
    errors.Busy: (503, "UNAVAILABLE"),
    errors.OverQuota: (429, "RESOURCE_EXHAUSTED"),
    errors.DeadlinePassed: (504, "DEADLINE_EXCEEDED"),
    errors.TooLarge: (413, "RESOURCE_EXHAUSTED"),
    errors.HeadTooLarge: (431, "RESOURCE_EXHAUSTED"),
    errors.SlowClient: (408, "DEADLINE_EXCEEDED"),
    errors.MethodNotAllowed: (405, "UNIMPLEMENTED"),
    errors.SwitchyardError: (500, "INTERNAL"),
}
CANCELLED = "cancelled"  # the client hung up: counted, never sent


def status_of(error: SwitchyardError) -> tuple[int, str]:
    """HTTP number and gRPC code of the nearest class that has them."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def error_response(error: SwitchyardError) -> Response:
    status, _ = status_of(error)
    return respond_with(error, status, {"error": str(error), "code": error.code})


OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def openai_error(error: SwitchyardError) -> Response:
    """The same in the form that clients of OpenAI read."""
    status, _ = status_of(error)
    kind = OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    param = getattr(error, "param", "") or None
    return respond_with(
        error, status, {"error": {"message": str(error), "type": kind, "param": param, "code": error.code}}
    )


def respond_with(error: SwitchyardError, status: int, body: dict[str, object]) -> Response:
    headers = b""
    if isinstance(error, Busy):
        headers = b"retry-after: %d\r\n" % max(1, ceil(error.retry_after_s))
    elif status == 401:
        headers = b"www-authenticate: Bearer\r\n"
    elif isinstance(error, MethodNotAllowed):
        headers = b"allow: %b\r\n" % error.allowed.encode()
    return Response(status, msgspec.json.encode(body), headers=headers)


class Internal(SwitchyardError):
    """A fault of ours; what it was stands in the log alone."""

    def __init__(self) -> None:
        super().__init__("Something broke here that should not have; it is in the log of the gateway.")


# What a worker may say of one request of a batch. Everything else it says is a failure of the model.
WORKER_ERRORS: dict[str, Callable[[str], SwitchyardError]] = {
    BadInput.code: BadInput,
    UnsupportedFeature.code: UnsupportedFeature,
    OutputNotFinite.code: OutputNotFinite,
    DeadlinePassed.code: DeadlinePassed,
}


def error_of_worker(code: str, message: str) -> SwitchyardError:
    return WORKER_ERRORS.get(code, ModelFailed)(message or "The model failed and gave no reason.")
