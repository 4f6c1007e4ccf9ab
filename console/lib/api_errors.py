"""Every error of the API as `application/problem+json` (RFC 9457), with a stable `code` and the request's id.

`STATUS` is the one place where a refusal gets its HTTP number; `CODES` is the enum that clients may match on.
"""

from typing import Any

import structlog
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, ValidationError
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from console.lib import errors
from console.lib.actors import request_id

log = structlog.get_logger()

CONTENT_TYPE = "application/problem+json"

STATUS: dict[type[errors.ConsoleError], int] = {
    errors.UnknownParameter: 400,
    errors.NotAllowed: 403,
    errors.Missing: 404,
    errors.Conflict: 409,
    errors.InFlight: 409,
    errors.StaleWrite: 412,
    errors.TooLarge: 413,
    errors.Invalid: 422,
    errors.PreconditionMissing: 428,
    errors.RateLimited: 429,
    errors.BadGateway: 502,
    errors.Busy: 503,
    errors.GatewayTimeout: 504,
    errors.StorageFull: 507,
}

TITLES = {
    400: "Bad request",
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    410: "Gone",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be processed",
    428: "Precondition required",
    429: "Too many requests",
    500: "Internal error",
    502: "Bad answer from the data plane",
    503: "Not ready",
    504: "No answer in time",
    507: "Storage full",
}

# By status, for what Django and DRF raise themselves.
CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "rate_limited",
    500: "internal",
    503: "not_ready",
}


def problem(status: int, code: str, detail: str, instance: str, extras: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body. `type` is a name, not an address: nothing needs to be fetched to understand it."""
    return {
        "type": f"urn:switchyard:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
        "instance": instance,
        "request_id": request_id.get(),
    } | (extras or {})


def every_code() -> dict[str, int]:
    """The enum: each code an app may answer with, and its status."""
    found = {code: status for status, code in CODES.items()} | {"key_invalid": 401, "slow_client": 408}
    waiting = [errors.ConsoleError]
    while waiting:
        kind = waiting.pop()
        found[kind.code] = next((STATUS[base] for base in kind.__mro__ if base in STATUS), 500)
        waiting += kind.__subclasses__()
    return found


def status_of(error: errors.ConsoleError) -> int:
    """Of the nearest class in `STATUS`; a type that nobody mapped is our fault, so 500."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. None: unknown, so Django logs it and answers by `server_error`."""
    request: HttpRequest = context["request"]
    found = describe(error)
    if found is None:
        return None
    status, code, detail, extras, headers = found
    set_rollback()
    return Response(
        problem(status, code, detail, request.path, extras), status=status, headers=headers, content_type=CONTENT_TYPE
    )


Described = tuple[int, str, str, dict[str, Any], dict[str, str]]


def describe(error: Exception) -> Described | None:
    if isinstance(error, errors.ConsoleError):
        headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, errors.Busy) else {}
        return status_of(error), error.code, error.detail, error.extras(), headers
    if isinstance(error, exceptions.ValidationError):
        return describe_validation(error)
    if isinstance(error, exceptions.APIException):
        return describe_drf(error)
    if isinstance(error, RequestDataTooBig):
        return (
            413,
            "too_large",
            "The body is too large. Send big files in chunks to /api/v1/uploads/.",
            {},
            {},
        )
    if isinstance(error, Http404):
        return 404, "not_found", str(error) or "There is nothing at this address.", {}, {}
    if isinstance(error, PermissionDenied):
        return 403, "forbidden", str(error) or "You may not do this.", {}, {}
    if isinstance(error, ValidationError):
        return 422, "invalid", " ".join(error.messages), {}, {}
    if isinstance(error, BadRequest):
        return 400, "bad_request", str(error) or "The request cannot be read.", {}, {}
    if isinstance(error, OperationalError):
        # The database is away or stays locked: the request may succeed in a moment, and nothing was written.
        log.error("database.unavailable", error=str(error))
        return (
            503,
            "not_ready",
            "The database does not answer. Try again.",
            {"dependency": "database"},
            {"Retry-After": "2"},
        )
    return None


def describe_drf(error: exceptions.APIException) -> Described:
    headers: dict[str, str] = {}
    if authenticate := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = authenticate
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(max(1, round(getattr(error, "wait", None) or 1)))
    detail = str(error.detail)
    if isinstance(error, exceptions.NotAuthenticated):
        detail = "Log in, or send 'Authorization: Bearer sy_…'. Keys are made under Settings, API keys."
    code = CODES.get(error.status_code, "error")
    if isinstance(error, exceptions.AuthenticationFailed):
        code = "key_invalid"
    return error.status_code, code, detail, {}, headers


def describe_validation(error: exceptions.ValidationError) -> Described:
    """DRF's nested details as a flat list of pointers. Unreadable JSON is 400 (ParseError); wrong fields are 422."""
    faults = list(flatten(error.detail, ""))
    detail = " ".join(f"{fault['pointer'].lstrip('/') or 'body'}: {fault['detail']}" for fault in faults[:5])
    return 422, "invalid", detail, {"errors": faults[:100]}, {}


def flatten(detail: Any, pointer: str) -> Any:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from flatten(inner, pointer if name == "non_field_errors" else f"{pointer}/{name}")
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            yield from flatten(inner, f"{pointer}/{index}" if isinstance(inner, dict | list) else pointer)
    else:
        yield {"pointer": pointer, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}


# Django's own error handlers (console/urls.py): the API speaks problem+json there too, pages get a page.


def answer_problem(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    body = problem(status, CODES.get(status, "error"), detail, request.path)
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE)


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
