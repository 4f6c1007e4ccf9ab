"""A million mutated requests against a real gateway: `python -m bench.fuzz --requests 1000000 --json`.

Counts crashes (the process ended), hangs (a connection that stays open after the client ended its half), stack traces
in answers or in the log, internal errors, and memory: resident size after the first tenth and at the end. A good
request is asked throughout and must be answered. Exit status 1 when anything of it happened.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil
import uvloop

from bench.fuzzing import Seen, fuzz, valid_requests
from bench.peers import machine
from bench.stand import MODEL, Gateway, open_stand

ASK_S = 1.0
ASK_PATIENCE_S = 10.0
SAY_S = 30.0
FLAT = 1.10  # resident memory at the end, of that after the first tenth


def main() -> int:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="sy-fuzz-") as name, open_stand(Path(name)) as stand:
        with stand.gateway(SWITCHYARD_HEADER_TIMEOUT_S="5", SWITCHYARD_BODY_TIMEOUT_S="5") as gateway:
            told = uvloop.run(run(gateway, given, stand.body.read_bytes()))
        told["log"] = bad_lines(gateway.log)
    told["passed"] = verdict(told)
    if given.json:
        print(json.dumps(told))
    else:
        for key, value in told.items():
            print(f"{key:20} {value}")
    return 0 if told["passed"] else 1


async def run(gateway: Gateway, given: argparse.Namespace, good_body: bytes) -> dict[str, object]:
    host, port = gateway.at.url.removeprefix("http://").split(":")
    starts, seen, began_s = valid_requests(MODEL, gateway.at.key), Seen(), time.monotonic()
    good = GoodClient(host, int(port), gateway, good_body)
    asking = asyncio.create_task(good.ask_forever())
    saying = asyncio.create_task(say_forever(seen, given.requests, gateway))
    sizes = []
    for part in (given.requests // 10, given.requests - given.requests // 10):
        await fuzz(host, int(port), starts, part, given.seed + len(sizes), given.clients, seen)
        sizes.append(round(gateway.rss_mb(), 1) if gateway.process.is_running() else 0.0)
    saying.cancel()
    asking.cancel()
    took_s = time.monotonic() - began_s
    return machine.describe() | {
        "requests": seen.sent,
        "seconds": round(took_s, 1),
        "per_second": round(seen.sent / took_s),
        "statuses": dict(seen.statuses.most_common()),
        "crashed": not gateway.process.is_running() or gateway.process.status() == psutil.STATUS_ZOMBIE,
        "hangs": seen.hangs,
        "refused": seen.refused,
        "slowest_s": round(seen.slowest_s, 2),
        "never": seen.examples,
        "rss_mb": sizes,
        "good_asked": good.asked,
        "good_failed": good.failed,
    }


class GoodClient:
    """A client that did nothing wrong, and is answered all the while."""

    def __init__(self, host: str, port: int, gateway: Gateway, body: bytes):
        self.host, self.port = host, port
        lines = [
            f"POST /v2/models/{MODEL}/infer HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {gateway.at.key}",
            f"Content-Length: {len(body)}", "Connection: close", "", "",
        ]  # fmt: skip
        self.request = "\r\n".join(lines).encode() + body
        self.asked = self.failed = 0

    async def ask_forever(self) -> None:
        while True:
            self.asked += 1
            try:
                async with asyncio.timeout(ASK_PATIENCE_S):
                    reader, writer = await asyncio.open_connection(self.host, self.port)
                    writer.write(self.request)
                    self.failed += not (await reader.read()).startswith(b"HTTP/1.1 200 ")
                    writer.close()
            except (OSError, TimeoutError):
                self.failed += 1
            await asyncio.sleep(ASK_S)


async def say_forever(seen: Seen, wanted: int, gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(SAY_S)
        print(f"{seen.sent} of {wanted}, {gateway.rss_mb():.1f} MB, {len(seen.examples)} bad", file=sys.stderr)


def bad_lines(log: Path) -> list[str]:
    """What a gateway never logs unless it is broken."""
    found = [
        line for line in log.read_text(errors="replace").splitlines()
        if "Traceback" in line or "_broke" in line or "Exception" in line or '"level": "critical"' in line
    ]  # fmt: skip
    return found[:5]


def verdict(told: dict) -> bool:
    grew = told["rss_mb"][1] > told["rss_mb"][0] * FLAT
    bad = ("crashed", "hangs", "never", "log", "good_failed", "refused")
    return not grew and not any(told[name] for name in bad)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=64, help="connections at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
