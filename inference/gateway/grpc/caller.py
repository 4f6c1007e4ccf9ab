"""Who makes a gRPC call, by when they want it answered, and how they are refused."""

import asyncio
from collections.abc import Iterable
from math import ceil
from time import monotonic
from typing import Any

import grpc

from inference.errors import BadInput, Busy, MissingKey, SlowClient, SwitchyardError
from inference.gateway.errors import status_of
from inference.gateway.flight import Call
from inference.gateway.headers import RequestIds, child_trace, make_call, timeout_of
from inference.spec import ApiKey

# gRPC cancels a call at its deadline. Ours ends a little sooner: so the call is counted as late instead of given up,
# and the client is told where it waited.
HEAD_START_S = 0.01
MAX_DETAILS_BYTES = 2000  # clients take 8 KiB of trailers, and other letters than ASCII triple

Metadata = tuple[tuple[str, str], ...]
Context = Any  # grpc.aio.ServicerContext, which has no types


def headers_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> dict[bytes, bytes]:
    return {key.encode(): value if isinstance(value, bytes) else value.encode() for key, value in metadata or ()}


class Caller:
    """One call, from its metadata on."""

    __slots__ = ("arrived_s", "context", "headers", "principal", "request_id")

    def __init__(self, context: Context, request_ids: RequestIds):
        self.context = context
        self.principal: ApiKey | None = None  # until it is admitted
        self.arrived_s = 0.0
        self.headers = headers_of(context.invocation_metadata())
        self.request_id = request_ids.of(self.headers)

    def known(self) -> ApiKey:
        """Raises MissingKey."""
        if self.principal is None:
            raise MissingKey
        return self.principal

    async def read(self, within_s: float) -> bytes:
        """The call's one message. Raises SlowClient, or BadInput where there is none."""
        try:
            async with asyncio.timeout(within_s):
                body = await self.context.read()
        except TimeoutError:
            raise SlowClient(f"The message did not come whole within {within_s:g} s.") from None
        if not isinstance(body, bytes):
            raise BadInput("The call ended before its message.")
        self.arrived_s = monotonic()
        return body

    def call(self, version: str) -> Call:
        """What the data plane wants to know besides the tensors. Raises BadInput."""
        call = make_call(self.headers, self.known(), version)
        call.timeout_s = self.timeout_s()
        return call

    def timeout_s(self) -> float | None:
        """The shorter of the call's own deadline and the header. Raises BadInput."""
        wanted = timeout_of(self.headers)
        left_s = self.context.time_remaining()
        if left_s is None:
            return wanted
        left_s = max(left_s - HEAD_START_S, left_s / 2)
        return left_s if wanted is None else min(wanted, left_s)

    def names(self) -> Metadata:
        """The ids by which people find this call again."""
        trace = child_trace(self.headers.get(b"traceparent", b""))
        named = (("x-request-id", self.request_id.decode()),)
        return (*named, ("traceparent", trace.decode())) if trace else named

    def refuse(self, error: SwitchyardError) -> None:
        """Make the error what the call ends with, once its method returns.

        Not by `context.abort`: the exception it raises is kept by the call, and keeps the call, its body and all, until
        the collector comes round.
        """
        more: Metadata = (("x-error-code", error.code),)
        if isinstance(error, Busy):
            more = (*more, ("grpc-retry-pushback-ms", str(ceil(error.retry_after_s * 1e3))))
        self.context.set_code(grpc.StatusCode[status_of(error)[1]])
        self.context.set_details(str(error).encode()[:MAX_DETAILS_BYTES].decode(errors="ignore"))
        self.context.set_trailing_metadata((*self.names(), *more))
