"""Valid requests with a few bytes changed, sent to a real gateway: what comes back, and what must never.

Shared by the long run (bench/fuzz.py) and by the tests. A request is changed as a broken or hostile client would: bytes
flipped, cut, doubled, moved, replaced by what parsers trip over, two requests grown into each other, the end missing.
"""

import asyncio
import contextlib
import gzip
import json
import random
import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter

import zstandard

PATIENCE_S = 0.1  # a request that lost its end is never answered; then we end our half, and the server must hang up
HANG_S = 15.0  # longer than the gateway waits for the head of a request
MAX_EXAMPLES = 5
TOKENS = (
    b"\x00", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"\r\n", b"\n", b"\r", b"\t", b" ", b":", b";", b",",
    b"%00", b"%", b"[", b"]", b"{", b"}", b'"', b"\\", b"[[[[[[[[", b'{"a":' * 40, b"-1", b"0", b"1e999", b"-0.0",
    b"1.5", b"999999999999", b"18446744073709551616", b"-9223372036854775809", b"NaN", b"Infinity", b"null", b"true",
    b"0x10", b"FP16", b"BYTES", b"INT64", b"", b"A" * 300, b"../", b"..%2f", b"/v2/models/", b"\r\nX-Injected: 1",
    b"\r\nContent-Length: 3", b"\r\nTransfer-Encoding: chunked", b"\r\nConnection: keep-alive", b"gzip", b"chunked",
    b"\r\nExpect: 100-continue", b"\r\nUpgrade: h2c", b"HTTP/2.0", b"HTTP/1.0", b"ffffffffffffffff\r\n", b"0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)  # fmt: skip
LENGTH = re.compile(rb"Content-Length: \d+")
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
ALLOWED = {100, 200, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 431, 501, 503, 504}
TRACE = (b"Traceback", b'File "', b".py", b"0x7f")


def valid_requests(model: str, key: str) -> list[bytes]:
    """One of each kind that the gateway takes, for a model of one input x [-1,4] and one output y."""

    def send(body: bytes, *headers: bytes, path: bytes = b"/v2/models/%b/infer", method: bytes = b"POST") -> bytes:
        if b"%b" in path:
            path = path % model.encode()
        lines = [
            method + b" " + path + b" HTTP/1.1", b"Host: x", b"Authorization: Bearer " + key.encode(),
            b"Connection: close", b"Content-Length: %d" % len(body), *headers,
        ]  # fmt: skip
        return b"\r\n".join([*lines, b"", body])

    x = {"name": "x", "datatype": "FP32", "shape": [1, 4]}
    plain = {"id": "1", "inputs": [{**x, "data": [[1.0, 2.0, 3.0, 4.0]]}], "outputs": [{"name": "y"}]}
    as_json = json.dumps(plain).encode()
    head = json.dumps({"inputs": [{**x, "parameters": {"binary_data_size": 16}}]}).encode()
    both = {"inputs": [{**x, "parameters": {"binary_data_size": 16}}], "parameters": {"binary_data_output": True}}
    binary_out = json.dumps(both).encode()
    classes = as_json.replace(b'{"name": "y"}', b'{"name": "y", "parameters": {"classification": 2}}')
    row = json.dumps({"instances": [[1.0, 2.0, 3.0, 4.0]], "parameters": {"priority": 1}}).encode()
    words = json.dumps({"model": model, "input": ["a", [1, 2]], "encoding_format": "base64"}).encode()
    four = struct.pack("<4f", 1, 2, 3, 4)
    return [
        send(as_json),
        send(as_json, b"X-Request-Id: abc", b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        send(classes, b"Accept-Encoding: gzip;q=0.5, zstd"),
        send(gzip.compress(as_json), b"Content-Encoding: gzip"),
        send(zstandard.compress(as_json), b"Content-Encoding: zstd"),
        send(head + four, b"Inference-Header-Content-Length: %d" % len(head)),
        send(binary_out + four, b"Inference-Header-Content-Length: %d" % len(binary_out)),
        send(row, b"X-Priority: 2", path=b"/v1/models/%b:predict"),
        send(words, path=b"/v1/embeddings"),
        send(b'{"ready": true}', path=b"/v2/repository/index"),
        send(b"", path=b"/v2/models/%b/versions/1/stats", method=b"GET"),
        send(b"", path=b"/v2/models/%b/config", method=b"GET"),
        send(b"", path=b"/v2/health/ready", method=b"HEAD"),
        send(as_json, b"Expect: 100-continue", b"X-Timeout-Ms: 500"),
        send(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        + b"%x\r\n%b\r\n%x;x=y\r\n%b\r\n0\r\nTrailer: 1\r\n\r\n" % (7, as_json[:7], len(as_json) - 7, as_json[7:]),
    ]


def mutate(raw: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """A few changes: anywhere, or of the body alone, whose length is then told as it is, so that it gets far."""
    head, end, body = raw.partition(b"\r\n\r\n")
    if body and chance.random() < 0.5:
        body = change_some(body, others, chance)
        return LENGTH.sub(b"Content-Length: %d" % len(body), head) + end + body
    return change_some(raw, others, chance)


def change_some(raw: bytes, others: list[bytes], chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        raw = change(raw, others, chance)
    return raw


def change(raw: bytes, others: list[bytes], chance: random.Random) -> bytes:
    at, kind = chance.randrange(len(raw) + 1), chance.random()
    if kind < 0.55:  # a token instead of up to three bytes
        return raw[:at] + chance.choice(TOKENS) + raw[at + chance.randint(0, 3) :]
    if kind < 0.70:  # one bit
        return raw[:at] + bytes([byte ^ 1 << chance.randrange(8) for byte in raw[at : at + 1]]) + raw[at + 1 :]
    end = min(len(raw), at + chance.randint(1, 64))
    if kind < 0.80:  # a piece is missing, or there twice
        return raw[:at] + raw[at:end] * chance.choice((0, 2)) + raw[end:]
    if kind < 0.90:  # a piece is elsewhere
        to, rest = chance.randrange(len(raw) + 1), raw[:at] + raw[end:]
        return rest[:to] + raw[at:end] + rest[to:]
    if kind < 0.97:  # another request from here
        other = chance.choice(others)
        return raw[:at] + other[chance.randrange(len(other)) :]
    return raw[:at]  # the end is missing


def wrong(answer: bytes) -> str:
    """What must never come back; empty when nothing did."""
    statuses = {int(status) for status in STATUS.findall(answer)}
    if answer and not answer.startswith(b"HTTP/1."):
        return "not an answer of HTTP/1.1"
    # 500 is for NaN that came in as binary and would have to go out as JSON.
    if 500 in statuses and b"output_not_finite" not in answer:
        return "an internal error"
    if not statuses <= ALLOWED | {500}:
        return f"a status that nobody asked for: {sorted(statuses - ALLOWED)}"
    if any(mark in answer for mark in TRACE):
        return "a piece of a stack trace"
    return "a header of the client's making" if b"\r\nx-injected:" in answer.lower() else ""


@dataclass
class Seen:
    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)  # "silent": hung up without an answer
    hangs: int = 0
    refused: int = 0  # connections
    slowest_s: float = 0.0  # until the server hung up, of those that did
    examples: list[str] = field(default_factory=list)  # of what must never be

    def note(self, raw: bytes, answer: bytes, took_s: float, *, hung: bool) -> None:
        self.sent += 1
        found = STATUS.findall(answer)
        self.statuses.update([status.decode() for status in found] or ["silent"])
        self.hangs += hung
        self.slowest_s = max(self.slowest_s, took_s)
        why = "the connection stays open" if hung else wrong(answer)
        if why and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{why}: {raw!r} was answered with {answer[:2000]!r}")


class Probe(asyncio.Protocol):
    """One connection with one mutated request on it."""

    def __init__(self) -> None:
        self.answer = bytearray()
        self.closed = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.answer += data

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def fire(host: str, port: int, raw: bytes, chance: random.Random, seen: Seen) -> None:
    loop, began_s = asyncio.get_running_loop(), perf_counter()
    try:
        transport, probe = await loop.create_connection(Probe, host, port)
    except OSError:
        seen.refused += 1
        await asyncio.sleep(PATIENCE_S)
        return
    cut = chance.randrange(len(raw) + 1) if chance.random() < 0.3 else len(raw)
    transport.write(raw[:cut])
    if cut < len(raw):
        await asyncio.sleep(0)
        transport.write(raw[cut:])
    hung = False
    if not (await asyncio.wait([probe.closed], timeout=PATIENCE_S))[0]:
        with contextlib.suppress(OSError, RuntimeError):
            transport.write_eof()
        hung = not (await asyncio.wait([probe.closed], timeout=HANG_S))[0]
    transport.abort()
    seen.note(raw, bytes(probe.answer), perf_counter() - began_s, hung=hung)


async def fuzz(
    host: str, port: int, starts: list[bytes], requests: int, seed: int, clients: int = 64, seen: Seen | None = None
) -> Seen:
    """Send that many, `clients` at a time. The same seed sends the same requests, in about the same order."""
    seen = seen or Seen()
    numbers = iter(range(requests))

    async def client(number: int) -> None:
        chance = random.Random(seed * 1_000_003 + number)
        for _ in numbers:
            await fire(host, port, mutate(chance.choice(starts), starts, chance), chance, seen)

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number))
    return seen
