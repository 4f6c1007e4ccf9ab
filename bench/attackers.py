"""What hostile clients do: each attack is one connection's life, over and over, and what a gateway may make of it.

`life` opens nothing itself: it gets a connected, non-blocking socket and says what became of it, `Ended`. A connection
that lives longer than `bound_s` was not bounded; an answer outside `statuses` was not refused.
"""

import asyncio
import contextlib
import gzip
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

DRIP_S = 0.2  # between two bytes
FILL_S = 30.0  # 4 MB of buffers of the system, by answers of a kilobyte
FOREVER_S = 60.0
BOMB_BYTES = 100_000_000
BLOCK = b"a" * 65_536
STATUS_OK = b"HTTP/1.1 200 OK\r\n\r\n"  # many answers count as one
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True)
class Target:
    host: str
    port: int
    path: str  # of an inference
    key: str
    body: bytes  # of a good one


Life = Callable[[socket.socket, Target], Awaitable[bytes]]  # gives all that was answered


@dataclass(frozen=True)
class Attack:
    name: str
    life: Life
    connections: int  # at a time
    statuses: frozenset[int]  # one of these, or a hang-up without a word (0)
    bound_s: float  # of a connection's life, with the timeouts of bench/attacks.py
    pause_s: float = 0.0  # before the next: what a fast attack costs is the attacker's share of the machine, too


def head(target: Target, *headers: str, method: str = "POST", path: str = "") -> bytes:
    lines = [f"{method} {path or target.path} HTTP/1.1", f"Host: {target.host}", f"Authorization: Bearer {target.key}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


async def read_all(sock: socket.socket, first: bytes = b"") -> bytes:
    answer, loop = bytearray(first), asyncio.get_running_loop()
    try:
        while part := await loop.sock_recv(sock, 65_536):
            answer += part
    except OSError:
        pass
    return bytes(answer)


async def send(sock: socket.socket, data: bytes) -> bool:
    try:
        await asyncio.get_running_loop().sock_sendall(sock, data)
    except OSError:
        return False
    return True


async def drip(sock: socket.socket, start: bytes, byte: bytes) -> bytes:
    """One byte after the other, until the other side has had enough."""
    reading = asyncio.create_task(read_all(sock))
    alive = await send(sock, start)
    while alive and not reading.done():
        await asyncio.sleep(DRIP_S)
        alive = await send(sock, byte)
    return await reading


async def slow_head(sock: socket.socket, target: Target) -> bytes:
    return await drip(sock, head(target)[:-2] + b"X-Drip: ", b"a")


async def slow_body(sock: socket.socket, target: Target) -> bytes:
    return await drip(sock, head(target, "Content-Length: 1000000"), b"a")


async def slow_reader(sock: socket.socket, target: Target) -> bytes:
    """Asks for more than the buffers of the system hold, and takes a byte now and then.

    It knows that it was cut off when it cannot ask on: what was answered before is still there to be read. It asks no
    faster than it takes to fill those buffers in seconds: faster, it would be many good clients in one.
    """
    config = target.path.removesuffix("/infer") + "/config"  # a kilobyte of answer for little work
    asking = asyncio.create_task(send_forever(sock, head(target, method="GET", path=config) * 100))
    with contextlib.suppress(OSError):
        while not asking.done():
            await asyncio.get_running_loop().sock_recv(sock, 1)
            await asyncio.sleep(DRIP_S)
    await asking
    return b""  # what it was answered is right; that it is cut off is what is wanted


async def pipelined_flood(sock: socket.socket, target: Target) -> bytes:
    """As many small, right requests as the connection takes, all answers read: no client's turn may be endless."""
    config = target.path.removesuffix("/infer") + "/config"
    reading = asyncio.create_task(read_all(sock))
    await send(sock, head(target, method="GET", path=config) * 2_000)
    await asyncio.sleep(1.0)
    sock.shutdown(socket.SHUT_WR)
    return STATUS_OK if STATUS.findall(await reading) else b""


async def send_forever(sock: socket.socket, data: bytes) -> None:
    while await send(sock, data):
        await asyncio.sleep(DRIP_S)


async def huge_head(sock: socket.socket, target: Target) -> bytes:
    reading = asyncio.create_task(read_all(sock))
    await send(sock, head(target)[:-2] + b"X-Huge: " + BLOCK * 16)
    return await reading


async def many_headers(sock: socket.socket, target: Target) -> bytes:
    reading = asyncio.create_task(read_all(sock))
    await send(sock, head(target)[:-2] + header_lines())
    return await reading


async def half_open(sock: socket.socket, _: Target) -> bytes:
    """Connects and is gone: no byte, and no end of the connection either."""
    return await read_all(sock)


async def vanish(sock: socket.socket, target: Target) -> bytes:
    """Half of a request, then nothing more."""
    whole = head(target, f"Content-Length: {len(target.body)}") + target.body
    await send(sock, whole[: -len(target.body) // 2])
    return await read_all(sock)


def says(make: Callable[[Target], bytes]) -> Life:
    """Says it all at once, ends its half later than any answer comes, and reads to the end."""

    async def life(sock: socket.socket, target: Target) -> bytes:
        reading = asyncio.create_task(read_all(sock))
        await send(sock, make(target))
        return await reading

    return life


def smuggle(target: Target) -> bytes:
    inner = head(target, method="GET", path="/v2/health/live")
    return head(target, "Content-Length: 6", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + inner


def huge_chunk(target: Target) -> bytes:
    return head(target, "Transfer-Encoding: chunked") + b"ffffffffffffffff\r\n" + BLOCK


def endless_extension(target: Target) -> bytes:
    return head(target, "Transfer-Encoding: chunked") + b"1;" + BLOCK * 4


@cache
def header_lines() -> bytes:
    return b"".join(b"X-%d: a\r\n" % number for number in range(20_000))


@cache
def bomb() -> bytes:
    return gzip.compress(b" " * BOMB_BYTES)


def gzip_bomb(target: Target) -> bytes:
    return head(target, "Content-Encoding: gzip", f"Content-Length: {len(bomb())}") + bomb()


def inject(target: Target) -> bytes:
    path = f"{target.path}%0d%0aX-Injected:%201"
    return head(target, "X-Request-Id: a\rX-Injected: 1", "Connection: close", "Content-Length: 0", path=path)


def upgrade(target: Target) -> bytes:
    asked = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    return head(target, *asked, method="GET", path="/v2") + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 64


def preface(_: Target) -> bytes:
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def statuses(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


def attacks(head_s: float, body_s: float) -> list[Attack]:
    """With the gateway's timeouts for heads and bodies; a sweep and a lingering goodbye come on top."""
    bomb(), header_lines()  # now: making them while good clients are timed would take their cores
    slack_s = 6.0
    head_s, body_s = head_s + slack_s, body_s + slack_s
    fast = 0.05
    return [
        Attack("slowloris", slow_head, 500, statuses(0, 408), head_s),
        Attack("slow body", slow_body, 500, statuses(0, 408), body_s),
        Attack("slow reader", slow_reader, 8, statuses(0), FILL_S + body_s),
        Attack("pipelined flood", pipelined_flood, 4, statuses(200), slack_s),
        Attack("half-open", half_open, 2000, statuses(0, 408), head_s),
        Attack("vanished", vanish, 500, statuses(0, 408), body_s),
        Attack("huge head", huge_head, 8, statuses(0, 400, 413, 431), slack_s, fast),
        Attack("many headers", many_headers, 8, statuses(0, 400, 413, 431), slack_s, fast),
        Attack("CL and TE", says(smuggle), 8, statuses(400), slack_s, fast),
        Attack("huge chunk", says(huge_chunk), 8, statuses(0, 400, 408, 413), body_s, fast),
        Attack("endless extension", says(endless_extension), 8, statuses(0, 400, 413, 431), slack_s, fast),
        Attack("gzip bomb", says(gzip_bomb), 4, statuses(0, 400, 413), slack_s, 0.5),
        Attack("header injection", says(inject), 8, statuses(400, 404), slack_s, fast),
        Attack("h2c upgrade", says(upgrade), 8, statuses(200, 400), slack_s, fast),
        Attack("h2c preface", says(preface), 8, statuses(0, 400, 405, 505), slack_s, fast),
    ]
