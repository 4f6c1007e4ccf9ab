"""What a request's headers say to the data plane, and which ids go back: the same over HTTP and gRPC."""

import os
import re
from collections.abc import Mapping
from itertools import count

from inference.errors import BadInput, MissingKey
from inference.gateway.dataplane import Call
from inference.gateway.exchange import Request
from inference.policy.routing import Facts
from inference.spec import ApiKey

TOKEN = re.compile(rb"[\x21-\x7e]{1,128}")  # what may come back in a header of ours
TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")

Headers = Mapping[bytes, bytes]


def principal_of(request: Request) -> ApiKey:
    """Whose key came with the request. Raises MissingKey where the head was let in without one."""
    if not isinstance(request.principal, ApiKey):
        raise MissingKey
    return request.principal


def call_of(request: Request, version: str) -> Call:
    """Raises MissingKey, or BadInput for a header that says nothing sensible."""
    return make_call(request.headers, principal_of(request), version, request.arrived_s)


def make_call(headers: Headers, principal: ApiKey, version: str, arrived_s: float) -> Call:
    facts = Facts(
        pinned=version or pinned_by_header(headers),
        canary_key=headers.get(b"x-canary-key", b"").decode("latin-1"),
        api_key=principal.id,
        headers=headers,
    )
    return Call(principal, facts, arrived_s, timeout_of(headers), priority_of(headers))


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


class RequestIds:
    """By them people find a request again: the client's own if it can come back in a header, else one of ours."""

    def __init__(self) -> None:
        self.prefix = os.urandom(8).hex().encode()
        self.numbers = count(1)

    def of(self, headers: Headers) -> bytes:
        given = headers.get(b"x-request-id")
        if given is not None and TOKEN.fullmatch(given):
            return given
        return b"%b-%08x" % (self.prefix, next(self.numbers))


def child_trace(traceparent: bytes) -> bytes:
    """The caller's trace with a span of our own, in W3C's form; empty where the caller's is not."""
    match = TRACEPARENT.fullmatch(traceparent)
    return b"00-%b-%b-%b" % (match[1], os.urandom(8).hex().encode(), match[2]) if match else b""
