"""However right requests are cut and however soon each is answered: all are, in order, each by its own body."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.config import Config
from inference.errors import SwitchyardError
from inference.gateway.exchange import Head, Request, Response
from inference.gateway.server import HttpServer

HEAD = b"POST /%d HTTP/1.1\r\nHost: x\r\n"
EVIL = b"\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n" * 200
SIZES = [0, 1, 511, 512, 513, 2_047, 2_048, 2_049, 5_000, 70_000]


class Late:
    """An application that tells of each body, at once or some turns of the loop later."""

    def __init__(self, delays: list[int]):
        self.delays = delays
        self.taken = 0

    def admit(self, head: Head) -> None: ...

    def still_admits(self, head: Head) -> bool:
        return True

    def handle(self, request: Request, respond: Callable[[Response], None]) -> asyncio.Handle | None:
        response = Response(200, b"%b %d" % (request.url, zlib.crc32(request.body)))
        delay = self.delays[self.taken % len(self.delays)]
        self.taken += 1
        if not delay:
            respond(response)
            return None
        return asyncio.get_running_loop().call_later(delay / 10_000, respond, response)

    def refusal(self, error: SwitchyardError, head: Head | None) -> Response:
        return Response(400, str(error).encode())


def chunked(data: bytes, size: int) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


def sent_as(kind: str, body: bytes, chunk: int) -> bytes:
    """What follows the first lines of a request with this body."""
    packed = gzip.compress(body, 1) if "gzip" in kind else body
    encoding = b"Content-Encoding: gzip\r\n" if "gzip" in kind else b""
    if kind == "binary":
        encoding = b"Inference-Header-Content-Length: 0\r\n"  # the way of large bodies
    if "chunked" in kind:
        return encoding + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(packed, chunk)
    return encoding + b"Content-Length: %d\r\n\r\n" % len(packed) + packed


KINDS = st.sampled_from(["plain", "binary", "gzip", "chunked", "gzip chunked"])
REQUESTS = st.builds(
    lambda requests, times: requests * times,  # more than a connection takes at a time; heads that come again
    st.lists(st.tuples(st.integers(1, 3), KINDS, st.sampled_from(SIZES), st.sampled_from([7, 513, 5_000])), min_size=1),
    st.integers(1, 20),
)


@pytest.mark.parametrize("delays", [[0], [1], [0, 2, 0, 5]], ids=["at once", "later", "either"])
@settings(max_examples=25)
@given(requests=REQUESTS, cuts=st.lists(st.floats(0, 1), max_size=12))
def test_all_that_is_asked_is_answered_in_its_order(
    delays: list[int], requests: list[tuple[int, str, int, int]], cuts: list[float]
) -> None:
    bodies = [
        EVIL[:size] if number % 2 else bytes([number % 256]) * size for number, (_, _, size, _) in enumerate(requests)
    ]
    raw = b"".join(
        HEAD % path + sent_as(kind, body, chunk) for (path, kind, _, chunk), body in zip(requests, bodies, strict=True)
    )
    wanted = [b"/%d %d" % (path, zlib.crc32(body)) for (path, *_), body in zip(requests, bodies, strict=True)]

    async def run() -> list[bytes]:
        server = HttpServer(Late(delays), Config())
        reader, writer = await asyncio.open_connection("127.0.0.1", await server.listen("127.0.0.1", 0))
        places = sorted({0, len(raw), *(int(cut * len(raw)) for cut in cuts)})

        async def send() -> None:
            for start, end in pairwise(places):
                writer.write(raw[start:end])
                await asyncio.sleep(0)

        async with asyncio.timeout(20):
            sending = asyncio.create_task(send())
            answers = [await read_answer(reader) for _ in requests]
            await sending
        writer.close()
        assert server.buffered_bytes == 0
        assert all(connection.reader.inflater is None for connection in server.connections)  # it may hold megabytes
        await server.drain(0.0)
        return answers

    assert uvloop.run(run()) == wanted


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    sizes = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length")]
    return lines[0].split()[1].replace(b"200", b"") + await reader.readexactly(sizes[0])
