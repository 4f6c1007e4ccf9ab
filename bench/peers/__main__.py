"""Ours beside what a user would pick instead: `make bench-peers`, or `python -m bench.peers`.

Each server answers the same requests from `wrk`, one server at a time, all of them once in each repetition, so that a
machine that slows down slows all of them. Figures are medians over repetitions. Every answer is checked once before.

    python -m bench.peers --setup                              environments of the peers, from PyPI, once
    python -m bench.peers --work w1 --servers switchyard,triton,mosec --seconds 5 --repeat 2 --json
    python -m bench.peers --seconds 10 --repeat 3 --out bench/results/peers.json --document

The last makes the tables of docs/performance.md: over an hour, on a machine that does nothing else.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.peers import environments, machine
from bench.peers.document import write_document
from bench.peers.figures import Run, median_of, medians, table
from bench.peers.roster import BY_NAME, OURS, WORKS, Peer
from bench.peers.servers.settings import Settings
from bench.peers.serving import Endpoint, ServerFailed, serve_peer
from bench.peers.switchyard import NO_CACHE, serve_ours
from bench.peers.works import Work, get_work
from bench.peers.wrk import WrkMissing, find_wrk, measure

CLIENTS = (1, 16, 64)
WARM_UP_CLIENTS, WARM_UP_S = 16, 2


@dataclass(frozen=True)
class Row:
    """One line of a table: a server with one setting."""

    work: str
    label: str
    settings: Settings
    peer: Peer | None = None  # None: ours


class Bench:
    def __init__(self, given: argparse.Namespace):
        self.given = given
        self.runs: list[Run] = []
        self.skipped: list[str] = []

    def skip(self, what: str, why: str) -> None:
        self.skipped.append(f"{what}: {why.splitlines()[0]}")
        say(f"{what} is left out: {why}")

    def rows(self, work: str) -> Iterator[Row]:
        for name in self.given.servers:
            peer = BY_NAME.get(name)
            if peer is None and work == "cache":
                self.skip(f"{OURS} ({work})", NO_CACHE)
            elif peer is None:
                yield Row(work, OURS, Settings(work))
            elif not peer.rows_of(work):
                self.skip(f"{name} ({work})", "it has nothing for this work")
            elif not environments.is_made(self.given.envs, peer):
                self.skip(name, f"its environment is missing; make it with --setup --servers {name}")
            else:
                yield from (Row(work, label, settings, peer) for label, settings in peer.rows_of(work))

    def measure(self, work: str) -> None:
        rows = list(self.rows(work))
        if not rows:
            return
        task = get_work(rows[0].settings.model, self.given.envs / "models")
        for turn in range(self.given.repeat):
            for row in rows:
                say(f"{work}, {turn + 1} of {self.given.repeat}: {row.label}")
                try:
                    self.measure_row(row, task)
                except (ServerFailed, TimeoutError, RuntimeError, subprocess.SubprocessError) as error:
                    self.skip(f"{row.label} ({work}, repetition {turn + 1})", str(error))
                if turn + 1 == self.given.repeat:
                    self.print_medians(row)

    def measure_row(self, row: Row, task: Work) -> None:
        with tempfile.TemporaryDirectory(prefix="sy-peer-") as name, self.serve(row, task, Path(name)) as endpoint:
            ask = endpoint.url, endpoint.body, endpoint.headers
            measure(*ask, WARM_UP_CLIENTS, min(WARM_UP_S, self.given.seconds))
            for clients in self.given.clients:
                figures = measure(*ask, clients, self.given.seconds)
                self.runs.append(Run(row.work, row.label, clients, figures))

    def serve(self, row: Row, task: Work, folder: Path) -> AbstractContextManager[Endpoint]:
        if row.peer is None:
            return serve_ours(task, self.given.envs / "models", folder)
        return serve_peer(row.peer, row.settings, task, self.given.envs, folder)

    def print_medians(self, row: Row) -> None:
        if self.given.json:
            for clients in self.given.clients:
                wanted = row.work, row.label, clients
                if found := [run for run in self.runs if (run.work, run.server, run.c) == wanted]:
                    print(median_of(found).line(), flush=True)

    def result(self, load_before: list[float]) -> dict[str, object]:
        return machine.describe() | {
            "load_average": {"before": load_before, "after": machine.load_average()},
            "seconds": self.given.seconds,
            "repeat": self.given.repeat,
            "skipped": self.skipped,
            "rows": msgspec.to_builtins(medians(self.runs)),
            "runs": msgspec.to_builtins(self.runs),
        }


def main() -> int:
    given = arguments()
    if given.setup:
        return set_up(given)
    try:
        find_wrk()
    except WrkMissing as error:
        say(str(error))
        return 1
    load_before, bench = machine.load_average(), Bench(given)
    for work in given.work:
        bench.measure(work)
        if not given.json and (found := [row for row in medians(bench.runs) if row.work == work]):
            print(f"\n{WORKS[work]}\n\n{table(found, OURS)}\n", flush=True)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(bench.result(load_before), indent=1) + "\n")
    if given.document:
        write_document()
    return 0 if bench.runs else 1


def set_up(given: argparse.Namespace) -> int:
    """Every environment that is missing; one that fails stops no other."""
    failed = False
    for peer in (BY_NAME[name] for name in given.servers if name in BY_NAME):
        if environments.is_made(given.envs, peer):
            say(f"{peer.name} is there")
            continue
        say(f"{peer.name}: installing {', '.join(peer.packages)} into {given.envs / peer.name}")
        try:
            environments.make(given.envs, peer)
        except (subprocess.SubprocessError, OSError) as error:
            failed = True
            say(f"{peer.name} could not be installed: {error}")
    return int(failed)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    servers = (OURS, *BY_NAME)
    parser.add_argument("--work", type=names(tuple(WORKS)), default=tuple(WORKS), help=f"of {', '.join(WORKS)}")
    parser.add_argument("--servers", type=names(servers), default=servers, help=f"of {', '.join(servers)}")
    parser.add_argument("--clients", type=counts, default=CLIENTS, help="numbers of connections (1,16,64)")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--repeat", type=int, default=2, help="repetitions, interleaved")
    parser.add_argument("--json", action="store_true", help="one line a server and number of clients")
    parser.add_argument("--out", type=Path, help="file for everything measured, with the machine and its load")
    parser.add_argument("--document", action="store_true", help="remake the tables of docs/performance.md")
    parser.add_argument("--envs", type=lambda path: Path(path).absolute(), default=environments.DEFAULT)
    parser.add_argument("--setup", action="store_true", help="make the servers' environments, and measure nothing")
    return parser.parse_args()


def names(known: tuple[str, ...]):
    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
        return chosen

    return parse


def counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
