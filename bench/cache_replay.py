"""How often each cache strategy would have hit on a real trace: `python -m bench.cache_replay`.

    python -m bench.cache_replay --trace oltp.gz --format oltp --capacity 1000 --strategy all --json
    python -m bench.cache_replay --setup                                 libcachesim and theine, from PyPI, once
    python -m bench.cache_replay --trace oltp.gz --format oltp --capacity 1000,2000 --strategy all --peers

Every request counts, from the first on; every object has size 1. Traces may be compressed with xz or gzip. A file that
breaks off is refused with what could be read, which --limit then replays.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bench.cache import peers
from bench.cache.replay import Figures, replay
from bench.cache.traces import FORMATS, TraceError, read_trace
from inference.policy.cache.registry import STRATEGIES

ALL = "all"


def main() -> int:
    given = arguments()
    if given.setup:
        return set_up(given.env)
    try:
        keys = read_trace(given.trace, given.format, given.limit)
    except (TraceError, OSError) as error:
        say(str(error))
        return 1
    names = tuple(STRATEGIES) if given.strategy == ALL else (given.strategy,)
    for capacity in given.capacity:
        rows = []
        for name in names:
            rows.append(replay(keys, name, capacity))
            if given.json:
                print(line(given.trace, rows[-1]), flush=True)
        if given.peers:
            rows += beside(given, keys, capacity, names)
        if not given.json:
            print(table(given.trace, len(keys), capacity, rows), flush=True)
    return 0


def beside(given: argparse.Namespace, keys: list[int], capacity: int, names: tuple[str, ...]) -> list[Figures]:
    if not peers.is_made(given.env):
        say(f"libcachesim and theine are left out: {given.env} is missing; make it with --setup")
        return []
    wanted = [peers.NAMES[name] for name in names if name in peers.NAMES]
    wanted += peers.OTHERS if given.strategy == ALL else ()
    try:
        rows = peers.replay_peers(given.env, keys, capacity, wanted)
    except (subprocess.SubprocessError, OSError) as error:
        say(f"libcachesim and theine failed: {error}")
        return []
    for row in rows if given.json else ():
        print(line(given.trace, row), flush=True)
    return rows


def line(trace: Path, row: Figures) -> str:
    return json.dumps({
        "trace": trace.name, "requests": row.requests, "capacity": row.capacity, "strategy": row.strategy,
        "hit_ratio": None if row.hit_ratio is None else round(row.hit_ratio, 6),
    })  # fmt: skip


def table(trace: Path, requests: int, capacity: int, rows: list[Figures]) -> str:
    lines = [f"{trace.name}, {requests} requests, {capacity} objects", ""]
    lines.append(f"{'strategy':24} {'hit ratio':>9} {'ns a request':>12}")
    for row in rows:
        ratio = "–" if row.hit_ratio is None else f"{row.hit_ratio:.2%}"
        spent = "" if row.request_ns is None else f"{row.request_ns:.0f}"
        lines.append(f"{row.strategy:24} {ratio:>9} {spent:>12}".rstrip())
    return "\n".join([*lines, ""])


def set_up(environment: Path) -> int:
    if peers.is_made(environment):
        say(f"{environment} is there")
        return 0
    say(f"installing {', '.join(peers.PACKAGES)} into {environment}")
    try:
        peers.make(environment)
    except (subprocess.SubprocessError, OSError) as error:
        say(f"they could not be installed: {error}")
        return 1
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.cache_replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", type=Path, help="file of keys")
    parser.add_argument("--format", choices=tuple(FORMATS))
    parser.add_argument("--capacity", type=counts, help="objects; several with commas")
    parser.add_argument("--strategy", choices=(*STRATEGIES, ALL), default=ALL)
    parser.add_argument("--limit", type=count, help="requests, from the first; all without it")
    parser.add_argument("--json", action="store_true", help="one line a strategy and capacity")
    parser.add_argument("--peers", action="store_true", help="beside libcachesim and theine, once --setup was run")
    parser.add_argument("--setup", action="store_true", help="make their environment, and replay nothing")
    parser.add_argument("--env", type=lambda path: Path(path).absolute(), default=peers.DEFAULT)
    given = parser.parse_args()
    needed = ("trace", "format", "capacity")
    if not given.setup and (missing := [name for name in needed if getattr(given, name) is None]):
        parser.error(f"needed: {', '.join('--' + name for name in missing)}")
    return given


def count(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative; it counts from 0")
    return number


def counts(text: str) -> tuple[int, ...]:
    return tuple(count(part) for part in text.split(","))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
