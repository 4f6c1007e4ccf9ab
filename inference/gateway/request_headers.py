"""What the headers of a request say besides its key, the same over HTTP and gRPC. Names are lower-case bytes."""

import os
import re
from itertools import count

from inference.errors import BadInput

TOKEN = re.compile(rb"[\x21-\x7e]{1,128}")  # what may come back in a header of ours
TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")

Headers = dict[bytes, bytes]


def pinned_by_header(headers: Headers) -> str:
    return headers.get(b"x-model-version", b"").decode("latin-1").strip()


def canary_key_of(headers: Headers) -> str:
    return headers.get(b"x-canary-key", b"").decode("latin-1")


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


def continue_trace(headers: Headers) -> bytes | None:
    """The client's trace with a span of ours; None where it sent none, or no valid one."""
    given = headers.get(b"traceparent")
    match = TRACEPARENT.fullmatch(given) if given is not None else None
    return b"00-%b-%b-%b" % (match[1], os.urandom(8).hex().encode(), match[2]) if match else None
