"""What a request's headers say to the data plane, and which ids go back: the same over HTTP and gRPC."""

import os
import re
from collections.abc import Mapping
from itertools import count

from inference.errors import BadInput, MissingKey
from inference.gateway.exchange import Request
from inference.gateway.flight import Call
from inference.gateway.tables import VersionPlan
from inference.policy.routing import Facts
from inference.spec import ApiKey

TOKEN = re.compile(rb"[\x21-\x7e]{1,128}")  # what may come back in a header of ours
TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")
TRACEPARENT_BYTES = 55  # of version 00; later ones may append

ANSWER_HEADERS = (
    b"x-model-version: %b\r\nx-route-reason: %b\r\n"
    b"server-timing: queue;dur=%.3f, compute;dur=%.3f, total;dur=%.3f\r\nx-request-id: %b\r\n"
)

Headers = Mapping[bytes, bytes]


def principal_of(request: Request) -> ApiKey:
    """Whose key came with the request. Raises MissingKey where the head was let in without one."""
    principal = request.head.principal
    if not isinstance(principal, ApiKey):
        raise MissingKey
    return principal


def make_call(headers: Headers, principal: ApiKey, version: str) -> Call:
    """Raises BadInput for a header that says nothing sensible."""
    facts = Facts(version, "", principal.id, headers)
    call = Call(principal, facts)
    # Most requests have none of these: a look each is all they pay.
    if not version and b"x-model-version" in headers:
        facts.pinned = pinned_by_header(headers)
    if b"x-canary-key" in headers:
        facts.canary_key = headers[b"x-canary-key"].decode("latin-1")
    if b"x-timeout-ms" in headers:
        call.timeout_s = timeout_of(headers)
    if b"x-priority" in headers:
        call.priority = priority_of(headers)
    return call


def pinned_by_header(headers: Headers) -> str:
    return headers.get(b"x-model-version", b"").decode("latin-1").strip()


def timeout_of(headers: Headers) -> float | None:
    given = headers.get(b"x-timeout-ms")
    if given is None:
        return None
    try:
        milliseconds = float(given)
    except ValueError:
        milliseconds = 0.0
    if not 0 < milliseconds < float("inf"):
        raise BadInput("X-Timeout-Ms takes a number of milliseconds above zero.")
    return milliseconds / 1e3


def priority_of(headers: Headers) -> int:
    given = headers.get(b"x-priority")
    if given is None:
        return 0
    if not given.isdigit() or len(given) > 9:
        raise BadInput("X-Priority takes a whole number: 1 is served first, 0 is the default.")
    return int(given)


def answer_headers(
    plan: VersionPlan, reason: str, queue_s: float, compute_s: float, total_s: float, request_id: bytes
) -> bytes:
    """Who gave an answer, why, and how long that took."""
    return ANSWER_HEADERS % (
        plan.label_bytes,
        reason.encode(),
        queue_s * 1e3,
        compute_s * 1e3,
        total_s * 1e3,
        request_id,
    )


class RequestIds:
    """By them people find a request again: the client's own if it can come back in a header, else one of ours."""

    def __init__(self) -> None:
        self.prefix = os.urandom(8).hex().encode()
        self.numbers = count(1)

    def of(self, headers: Headers) -> bytes:
        given = headers.get(b"x-request-id")
        return given if given is not None and TOKEN.fullmatch(given) else self.new()

    def new(self) -> bytes:
        return b"%b-%08x" % (self.prefix, next(self.numbers))


def child_trace(traceparent: bytes) -> bytes:
    """The caller's trace with a span of our own, in W3C's form; empty where the caller's is not."""
    match = TRACEPARENT.fullmatch(traceparent)
    if match is None or (len(traceparent) > TRACEPARENT_BYTES and traceparent.startswith(b"00")):
        return b""
    return b"00-%b-%b-%b" % (match[1], os.urandom(8).hex().encode(), match[2])
