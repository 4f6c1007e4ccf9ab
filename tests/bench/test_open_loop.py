"""The open-loop generator, against servers on loopback that are quick, stall, or hang up."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bench.open_loop import OpenLoop, arrivals

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
STALL_S = 0.3
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def measure(handler: Handler, rate: float, seconds: float) -> OpenLoop:
    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        load = OpenLoop(f"http://127.0.0.1:{port}/x", b"{}", [])
        await load.run(arrivals(rate, seconds, seed=1))
        for connection in load.idle:
            connection.transport.abort()
        return load


async def read_request(reader: asyncio.StreamReader) -> bytes:
    await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(2)


def test_arrivals_keep_their_rate_and_repeat_with_their_seed():
    moments = list(arrivals(100, 50, seed=3))
    assert moments == list(arrivals(100, 50, seed=3)) != list(arrivals(100, 50, seed=4))
    assert moments == sorted(moments)
    assert len(moments) == pytest.approx(5000, rel=0.05)


def test_every_arrival_is_asked_and_answered():
    async def quick(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(ANSWER)

    load = asyncio.run(measure(quick, rate=200, seconds=0.5))
    assert load.figures()["requests"] == len(list(arrivals(200, 0.5, seed=1))) == len(load.latencies_s)
    assert load.errors == 0
    assert 0 < load.figures()["p50_ms"] < load.figures()["p99_ms"]


def test_a_stall_is_charged_to_all_that_arrived_meanwhile():
    """A closed loop would see one slow request for each connection; here those that waited are most of them."""

    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await started.wait()
        while await read_request(reader):
            writer.write(ANSWER)

    async def run() -> OpenLoop:
        asyncio.get_running_loop().call_later(STALL_S, started.set)
        return await measure(stalls, rate=200, seconds=STALL_S / 2)

    started = asyncio.Event()
    load = asyncio.run(run())
    assert load.errors == 0
    assert len(load.latencies_s) > 10
    assert min(load.latencies_s) > 0
    assert load.figures()["p50_ms"] > 1000 * STALL_S / 4


def test_broken_answers_and_refusals_are_errors():
    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.close()

    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(ANSWER.replace(b"200 OK", b"503 Busy"))

    for handler in (hangs_up, refuses):
        load = asyncio.run(measure(handler, rate=100, seconds=0.2))
        assert load.sent > 5
        assert load.errors == load.sent
