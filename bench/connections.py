"""What connections cost: `python -m bench.connections [--json]`.

1. Fan-in: W1 over 1,000 keep-alive connections against 64, in turn; the ratio of rates and of CPU time a request.
2. Idle: 10,000 connections that asked once and stay; resident memory with them and without, W1 over 64 others
   meanwhile as a ratio to before, and the slowest of a client's answers, since somebody must look after the idle ones.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path

import uvloop

from bench.load_cost import Cost, measure_cost, median_cost, median_ratio
from bench.peers import machine
from bench.probe import ask_for, percentile
from bench.stand import Gateway, Stand, open_stand

BASE = 64
AT_ONCE = 500  # connections being opened at a time
OWN_FILES = 200
SETTLE_S = 2.0


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="sy-connections-") as name, open_stand(Path(name)) as stand:
        told = machine.describe()
        with stand.gateway(SWITCHYARD_IDLE_TIMEOUT_S="3600") as gateway:
            told |= {"fan_in": fan_in(stand, gateway, given)}
        with stand.gateway(SWITCHYARD_IDLE_TIMEOUT_S="3600") as gateway:
            told |= {"idle": uvloop.run(idle(stand, gateway, given))}
    if given.json:
        print(json.dumps(told))
        return
    for part in ("fan_in", "idle"):
        for key, value in told[part].items():
            print(f"{part + '.' + key:32} {value}")


def fan_in(stand: Stand, gateway: Gateway, given: argparse.Namespace) -> dict[str, object]:
    few, many = [], []
    measure_cost(gateway, stand.body, given.connections, given.seconds)
    for _ in range(given.repeat):
        few.append(measure_cost(gateway, stand.body, BASE, given.seconds))
        many.append(measure_cost(gateway, stand.body, given.connections, given.seconds))
    return ratios(few, many) | {"connections": given.connections}


def ratios(base: list[Cost], ours: list[Cost]) -> dict[str, object]:
    return {
        "rps_ratio": median_ratio(ours, base, "rps"),
        "cpu_ratio": median_ratio(ours, base, "cpu_us"),
        "base": median_cost(base),
        "with": median_cost(ours),
    }


async def idle(stand: Stand, gateway: Gateway, given: argparse.Namespace) -> dict[str, object]:
    """The connections are held by this process; the load comes from another."""
    wanted = min(given.idle, open_files(given.idle + OWN_FILES) - OWN_FILES)
    await load(stand, gateway, given, 1)
    before = await load(stand, gateway, given, given.repeat)
    slow_before_ms = await ask(stand, gateway, given)
    rss_before_mb = gateway.rss_mb()
    holders = await open_connections(gateway, wanted)
    await asyncio.sleep(SETTLE_S)
    rss_with_mb = gateway.rss_mb()
    slow_with_ms = await ask(stand, gateway, given)
    during = await load(stand, gateway, given, given.repeat)
    lost = sum(holder.lost for holder in holders)
    for holder in holders:
        holder.transport.abort()
    await asyncio.sleep(SETTLE_S)
    return ratios(before, during) | {
        "connections": wanted,
        "lost": lost,
        "rss_before_mb": round(rss_before_mb, 1),
        "rss_more_mb": round(rss_with_mb - rss_before_mb, 1),
        "bytes_each": round((rss_with_mb - rss_before_mb) * 2**20 / wanted),
        "rss_after_mb": round(gateway.rss_mb(), 1),
        "p50_ms": [round(percentile(some, 0.5), 3) for some in (slow_before_ms, slow_with_ms)],
        "p999_ms": [round(percentile(some, 0.999), 2) for some in (slow_before_ms, slow_with_ms)],
    }


async def load(stand: Stand, gateway: Gateway, given: argparse.Namespace, times: int) -> list[Cost]:
    return [await asyncio.to_thread(measure_cost, gateway, stand.body, BASE, given.seconds) for _ in range(times)]


async def ask(stand: Stand, gateway: Gateway, given: argparse.Namespace) -> list[float]:
    end_s = time.monotonic() + given.seconds * given.repeat
    return await asyncio.to_thread(ask_for, gateway, stand.body.read_bytes(), lambda: time.monotonic() < end_s)


def open_files(wanted: int) -> int:
    """Raise this process's limit; what it allows now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft if soft != resource.RLIM_INFINITY else wanted


class Holder(asyncio.Protocol):
    """Asks once, and stays."""

    def __init__(self, request: bytes):
        self.request = request
        self.answered = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if not self.answered.done():
            self.answered.set_result(b"")


async def open_connections(gateway: Gateway, wanted: int) -> list[Holder]:
    host, port = gateway.at.url.removeprefix("http://").split(":")
    request = f"GET /v2/health/live HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    loop, holders = asyncio.get_running_loop(), []
    while len(holders) < wanted:
        some = await asyncio.gather(
            *(
                loop.create_connection(lambda: Holder(request), host, int(port))
                for _ in range(min(AT_ONCE, wanted - len(holders)))
            )
        )
        holders += [holder for _, holder in some]
        answers = await asyncio.gather(*(holder.answered for _, holder in some))
        if not all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers):
            raise RuntimeError(f"connection {len(holders)} was not answered")
    return holders


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.connections", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=1000, help="that all ask, against 64")
    parser.add_argument("--idle", type=int, default=10_000, help="that ask once and stay")
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--repeat", type=int, default=8, help="repetitions, interleaved")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
