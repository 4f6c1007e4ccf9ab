"""A gateway's end of a connection, against peers that behave and peers that do not."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.transport.client import Link, dial
from inference.transport.frames import (
    PREFIX,
    VERSION,
    ClientHello,
    Data,
    Drain,
    FrameReader,
    Grant,
    ItemResult,
    Kind,
    Result,
    Role,
    TensorHead,
    WorkerHello,
    decode_header,
    pack,
)

pytestmark = pytest.mark.asyncio

HELLO = WorkerHello("r-1", "d" * 64, "main", 2, 8)


class Owner:
    """Writes down what the link tells."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.lost = asyncio.Event()

    def link_ready(self, link: Link, hello: WorkerHello) -> None:
        self.told.append(("ready", hello.replica))

    def link_granted(self, link: Link, credits: int) -> None:
        self.told.append(("granted", credits))

    def link_answered(self, link: Link, result: Result, body: memoryview) -> None:
        self.told.append(("answered", result.batch, bytes(body)))

    def link_draining(self, link: Link, reason: str) -> None:
        self.told.append(("draining", reason))

    def link_lost(self, link: Link, why: str) -> None:
        self.told.append(("lost", why))
        self.lost.set()


async def converse(
    short_tmp: Path, answer: bytes, then: Callable[[asyncio.StreamWriter], None], hello_timeout_s: float = 5.0
) -> Owner:
    """A peer that reads our hello, writes `answer`, does `then`; what the owner was told until the link was lost."""
    said = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        while not said:
            said.extend(frames.feed(await reader.read(1_000)))
        writer.write(answer)
        then(writer)

    path = short_tmp / "w.sock"
    server = await asyncio.start_unix_server(peer, path)
    owner = Owner()
    async with server:
        await dial(f"unix:{path}", ClientHello(Role.GATEWAY, "g", "d" * 64), owner, hello_timeout_s=hello_timeout_s)
        await asyncio.wait_for(owner.lost.wait(), 8)
    kind, raw, _ = said[0]
    assert decode_header(kind, raw, ClientHello).id == "g"
    return owner


RESULT = pack(Kind.RESULT, Result(7, 1, [ItemResult([TensorHead("y", "UINT8", (1,), 3)])]), [b"abc"])


async def test_what_a_worker_says_is_told_in_order(short_tmp: Path) -> None:
    frames = (pack(Kind.HELLO, HELLO), pack(Kind.GRANT, Grant(2)), RESULT, pack(Kind.DRAIN, Drain("stopping")))
    owner = await converse(short_tmp, b"".join(frames), lambda writer: writer.close())
    assert owner.told == [
        ("ready", "r-1"), ("granted", 2), ("answered", 7, b"abc"), ("draining", "stopping"),
        ("lost", "the connection ended"),
    ]  # fmt: skip


@pytest.mark.parametrize("answer, says", [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "frames of version"),
    (pack(Kind.GRANT, Grant(2)), "before the hello"),
    (pack(Kind.HELLO, HELLO) * 2, "second hello"),
    (pack(Kind.HELLO, HELLO) + pack(Kind.DATA, Data(1, [])), "does not send DATA"),
    (pack(Kind.HELLO, HELLO) + PREFIX.pack(b"SY", VERSION, Kind.GRANT, 3, 0) + b"\xff\xff\xff", "GRANT frame is wrong"),
    (pack(Kind.HELLO, HELLO) + PREFIX.pack(b"SY", VERSION, Kind.RESULT, 10, 2**60), "over the limit"),
])  # fmt: skip
async def test_a_peer_that_breaks_the_protocol_is_hung_up_on(short_tmp: Path, answer: bytes, says: str) -> None:
    owner = await converse(short_tmp, answer, lambda writer: None)
    kind, why = owner.told[-1]
    assert kind == "lost"
    assert says in why


async def test_a_peer_that_says_nothing_is_hung_up_on(short_tmp: Path) -> None:
    owner = await converse(short_tmp, b"", lambda writer: None, hello_timeout_s=0.1)
    assert owner.told == [("lost", "it did not say hello")]


@pytest.mark.parametrize("address", ["unix:/nowhere/x.sock", "tcp:localhost:1", "tls:localhost:1", "nonsense"])
async def test_an_address_that_cannot_be_reached_is_an_os_error(address: str) -> None:
    with pytest.raises(OSError, match=r"."):
        await dial(address, ClientHello(Role.GATEWAY, "g", ""), Owner())
