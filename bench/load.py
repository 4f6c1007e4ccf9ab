"""A closed-loop load generator in one process: `python -m bench.load URL --body FILE --clients 64 --seconds 10`.

Each client keeps one connection and sends its next request when the last was answered, so the offered load follows the
server. Prints one JSON line: requests/s, p50 and p99 in ms, errors, and the median of each Server-Timing part.
"""

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import uvloop


class Client(asyncio.Protocol):
    """One connection. Latency is from the write of a request to the end of its answer."""

    def __init__(self, request: bytes, until: float, seen: "Seen"):
        self.request, self.until, self.seen = request, until, seen
        self.parser = httptools.HttpResponseParser(self)
        self.done = asyncio.get_running_loop().create_future()
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"server-timing":
            self.seen.note_timing(value.decode())

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self.seen.latencies.append(now - self.sent_at)
        if self.parser.get_status_code() != 200:
            self.seen.errors += 1
        if now < self.until:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None or time.perf_counter() < self.until:
            self.seen.errors += 1
        if not self.done.done():
            self.done.set_result(None)


class Seen:
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.errors = 0
        self.timings: dict[str, list[float]] = {}

    def note_timing(self, value: str) -> None:
        for part in value.split(","):
            name, _, duration = part.strip().partition(";dur=")
            if duration:
                self.timings.setdefault(name, []).append(float(duration))


async def run(url: str, body: bytes, headers: list[str], clients: int, seconds: float) -> dict[str, object]:
    """Ask `url` with `clients` connections for `seconds`, after one second of warm-up that does not count."""
    parts = urlsplit(url)
    head = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}", *headers]
    request = "\r\n".join([*head, "", ""]).encode() + body
    for warm_up in (True, False):
        seen, start = Seen(), time.perf_counter()
        until = start + (min(1.0, seconds) if warm_up else seconds)
        await asyncio.gather(*(one_client(parts.hostname, parts.port, request, until, seen) for _ in range(clients)))
    took, ordered = time.perf_counter() - start, sorted(seen.latencies)
    return {
        "clients": clients,
        "rps": round(len(ordered) / took, 1),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 3),
        "errors": seen.errors,
        "server_ms": {name: round(statistics.median(values), 3) for name, values in seen.timings.items()},
    }


async def one_client(host: str | None, port: int | None, request: bytes, until: float, seen: Seen) -> None:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(request, until, seen), host, port)
    await asyncio.wait_for(client.done, 120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    work = run(given.url, given.body.read_bytes(), given.header, given.clients, given.seconds)
    print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
