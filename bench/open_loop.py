"""Open-loop load: requests arrive at random at a given mean rate, whether or not earlier ones were answered.

    python -m bench.open_loop URL --body FILE --rate 100 --seconds 10

Latency runs from the moment a request was due to the end of its answer. So a server that stalls is charged for all that
arrived meanwhile, and a generator that is late charges itself (no coordinated omission). Timers are good to about 1 ms.
Prints one JSON line.
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import uvloop

MAX_CONNECTIONS = 512
PATIENCE_S = 30.0  # for what is still out when the last request has been sent


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """When requests are due, in seconds from the start: a Poisson process."""
    chance = random.Random(seed)
    moments = itertools.accumulate(iter(lambda: chance.expovariate(rate), None))
    return itertools.takewhile(lambda moment: moment < seconds, moments)


class Connection(asyncio.Protocol):
    """Keep-alive, one request at a time."""

    def __init__(self, load: "OpenLoop"):
        self.load = load
        self.due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)
        self.load.free(self)

    def ask(self, due: float) -> None:
        self.due = due
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_message_complete(self) -> None:
        due, self.due = self.due, None
        self.parser, status = httptools.HttpResponseParser(self), self.parser.get_status_code()
        self.load.answered(due, good=status == 200)
        self.load.free(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.load.lost(self)


class OpenLoop:
    def __init__(self, url: str, body: bytes, headers: list[str]):
        parts = urlsplit(url)
        head = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}", *headers]
        self.request = "\r\n".join([*head, "", ""]).encode() + body
        self.address = parts.hostname, parts.port
        self.loop = asyncio.get_running_loop()
        self.idle: list[Connection] = []
        self.waiting: deque[float] = deque()  # due, and no connection yet
        self.connections = 0
        self.opening: set[asyncio.Task[None]] = set()
        self.latencies_s: list[float] = []
        self.late_s: list[float] = []
        self.errors = self.sent = 0
        self.stopping = False
        self.finished = asyncio.Event()

    async def run(self, moments: Iterator[float]) -> None:
        start = self.loop.time() + 0.1
        for moment in moments:
            due = start + moment
            if (wait_s := due - self.loop.time()) > 0:
                await asyncio.sleep(wait_s)
            self.sent += 1
            self.arrive(due)
        self.stopping = True
        self.look_whether_finished()
        try:
            await asyncio.wait_for(self.finished.wait(), PATIENCE_S)
        except TimeoutError:
            self.errors += self.sent - len(self.latencies_s)

    def arrive(self, due: float) -> None:
        if self.idle:
            self.send(self.idle.pop(), due)
            return
        self.waiting.append(due)
        if self.connections < MAX_CONNECTIONS:
            self.connections += 1
            task = self.loop.create_task(self.connect())
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)

    async def connect(self) -> None:
        try:
            await self.loop.create_connection(lambda: Connection(self), *self.address)
        except OSError:
            self.connections -= 1
            if self.waiting:
                self.answered(self.waiting.popleft(), good=False)

    def send(self, connection: Connection, due: float) -> None:
        self.late_s.append(self.loop.time() - due)
        connection.ask(due)

    def free(self, connection: Connection) -> None:
        if self.waiting:
            self.send(connection, self.waiting.popleft())
        else:
            self.idle.append(connection)

    def lost(self, connection: Connection) -> None:
        self.connections -= 1
        if connection in self.idle:
            self.idle.remove(connection)
        if connection.due is not None:
            self.answered(connection.due, good=False)

    def answered(self, due: float | None, *, good: bool) -> None:
        if due is None:
            return
        self.latencies_s.append(self.loop.time() - due)
        self.errors += not good
        self.look_whether_finished()

    def look_whether_finished(self) -> None:
        if self.stopping and len(self.latencies_s) == self.sent:
            self.finished.set()

    def figures(self) -> dict[str, float]:
        return {
            "requests": self.sent,
            "p50_ms": milliseconds(self.latencies_s, 50),
            "p99_ms": milliseconds(self.latencies_s, 99),
            "errors": self.errors,
            "sent_late_p99_ms": milliseconds(self.late_s, 99),
        }


def milliseconds(values_s: list[float], percent: int) -> float:
    if len(values_s) < 2:
        return round(1000 * sum(values_s), 3)
    return round(1000 * statistics.quantiles(values_s, n=100, method="inclusive")[percent - 1], 3)


async def run(url: str, body: bytes, headers: list[str], rate: float, seconds: float, seed: int) -> dict[str, float]:
    load = OpenLoop(url, body, headers)
    await load.run(arrivals(rate, seconds, seed))
    return load.figures()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--rate", type=float, required=True, help="mean requests per second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same arrivals")
    given = parser.parse_args()
    body = given.body.read_bytes()
    print(json.dumps(uvloop.run(run(given.url, body, given.header, given.rate, given.seconds, given.seed))))


if __name__ == "__main__":
    main()
