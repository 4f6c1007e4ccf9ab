"""What one client piles up, or thousands leave to be ended, is worked off between the requests of others."""

import asyncio
import contextlib
import gzip
import math
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
import uvloop

from inference.config import Config
from inference.errors import SwitchyardError
from inference.gateway import turns
from inference.gateway.exchange import Head, Request, Response
from inference.gateway.server import ENDED_COUNTS, SWEEP_CHUNK, HttpServer
from inference.gateway.turns import Turns

GOOD = b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n"
FLOOD = b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /flood HTTP/1.1\r\nHost: x\r\n"
BOMB = gzip.compress(bytes(20_000_000))
BOMBED = POST + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Told:
    """An application that answers at once, and tells in which order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.refused: list[SwitchyardError] = []

    def admit(self, head: Head) -> None: ...

    def still_admits(self, head: Head) -> bool:
        return True

    def handle(self, request: Request, respond: Callable[[Response], None]) -> None:
        self.told.append(request.url.decode())
        respond(Response(200, b"{}"))

    def refusal(self, error: SwitchyardError, head: Head | None) -> Response:
        self.told.append("refused")
        self.refused.append(error)
        return Response(413)


class Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.answers = b""
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.answers += data

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)


@contextlib.asynccontextmanager
async def serving(application: Told) -> AsyncIterator[tuple[HttpServer, Callable[[], Any]]]:
    """A server, and what connects another client to it."""
    server = HttpServer(application, Config())
    port = await server.listen("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    yield server, lambda: loop.create_connection(Client, "127.0.0.1", port)
    await server.drain(0.0)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0)


@pytest.fixture
def smallest_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """One piece each, however fast the machine is."""
    monkeypatch.setattr(turns, "TURN_S", 0.0)


@pytest.mark.usefixtures("smallest_turns")
@pytest.mark.parametrize(
    "piled_up, last, times",
    [
        (FLOOD * 2_000, "/flood", 2_000),
        ((POST + b"Content-Length: 2\r\n\r\n{}") * 2_000, "/flood", 2_000),
        (CHUNKED + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n", "/flood", 1),
        (BOMBED, "refused", 1),
    ],
    ids=["requests", "requests with bodies", "chunks", "bomb"],
)
def test_what_a_client_piles_up_holds_up_no_other(piled_up: bytes, last: str, times: int) -> None:
    async def run() -> list[str]:
        application = Told()
        async with serving(application) as (server, connect):
            (flood, _), (good, client) = await connect(), await connect()
            await until(lambda: len(server.connections) == 2)
            flood.write(piled_up)
            good.write(GOOD)
            await until(lambda: client.answers.startswith(b"HTTP/1.1 200") and application.told.count(last) >= times)
        return application.told

    told = uvloop.run(run())
    assert told.index("/good") < 100
    assert told[-1] == last


@pytest.mark.parametrize("size", [1, 2, 500])
def test_a_body_in_many_chunks_is_kept_in_few_pieces(size: int) -> None:
    """Each would cost as much as fifty bytes."""

    async def run() -> int:
        async with serving(Told()) as (server, connect):
            client, _ = await connect()
            client.write(CHUNKED + (b"%x\r\n%b\r\n" % (size, b"a" * size)) * 2_000)
            await until(lambda: any(one.reader.body_bytes == size * 2_000 for one in server.connections))
            return max(len(one.reader.body_parts) for one in server.connections)

    assert uvloop.run(run()) == 2


def test_connections_due_at_once_are_ended_some_at_a_time() -> None:
    many, at_a_time = 200, math.ceil(SWEEP_CHUNK / ENDED_COUNTS)

    async def run() -> list[int]:
        async with serving(Told()) as (server, connect):
            clients = [await connect() for _ in range(many)]
            await until(lambda: len(server.connections) == many)
            for connection in server.connections:
                connection.since_s = -math.inf
            left = [many]
            sweeping = asyncio.create_task(server.sweep_all())
            while server.connections:
                await asyncio.sleep(0)
                left.append(len(server.connections))
            await sweeping
            async with asyncio.timeout(20):
                await asyncio.gather(*(client.ended for _, client in clients))
            return left

    left = uvloop.run(run())
    assert max(before - after for before, after in pairwise(left)) <= at_a_time


class Pile:
    def __init__(self, name: str, pieces: int, done: list[str]):
        self.name, self.pieces, self.done = name, pieces, done

    def take_turn(self) -> bool:
        self.done.append(self.name)
        self.pieces -= 1
        return self.pieces > 0


def test_piece_by_piece_one_after_the_other() -> None:
    done: list[str] = []

    async def run() -> None:
        line = Turns()
        for name, pieces in (("a", 5), ("b", 2), ("c", 1)):
            line.join(Pile(name, pieces, done))
        await until(lambda: not line.line)

    uvloop.run(run())
    assert "".join(done) == "abcabaaa"


@pytest.mark.usefixtures("smallest_turns")
def test_others_have_their_turn_between_two_pieces() -> None:
    done: list[str] = []

    async def run() -> None:
        line = Turns()
        line.join(Pile("a", 3, done))
        for _ in range(4):
            await asyncio.sleep(0)
            done.append("other")

    uvloop.run(run())
    assert [one for one in done if one == "a"] == ["a"] * 3
    assert all(pair != ("a", "a") for pair in pairwise(done))


class Broken:
    def take_turn(self) -> bool:
        raise MemoryError


def test_what_breaks_in_one_turn_takes_no_other_with_it() -> None:
    done: list[str] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: done.append("broke"))
        line = Turns()
        line.join(Broken())
        line.join(Pile("a", 2, done))
        await until(lambda: not line.line)

    uvloop.run(run())
    assert done == ["broke", "a", "a"]
