"""How long requests wait when they arrive at random: `make bench-latency`, or `python -m bench.latency`.

At 0.3, 0.6 and 0.9 of capacity, ours beside Triton for MiniLM. Capacity is what the slower of the servers does for 64
keep-alive clients of `wrk`, measured first; all get the same arrivals. Servers take turns in each repetition, figures
are medians. What counts as latency is said in bench/open_loop.py.

    python -m bench.latency --seconds 20 --repeat 3 --out bench/results/latency.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.deployment import ROOT
from bench.open_loop import PATIENCE_S
from bench.peers import environments, machine
from bench.peers.__main__ import Bench, Row, names, say
from bench.peers.roster import BY_NAME, OURS, WORKS
from bench.peers.serving import Endpoint
from bench.peers.works import Work, get_work
from bench.peers.wrk import WrkMissing, find_wrk, measure

LOADS = (0.3, 0.6, 0.9)  # of capacity
CAPACITY_CLIENTS = 64
WARM_UP_S = 2

Measured = dict[str, float]


def main() -> int:
    given = arguments()
    try:
        find_wrk()
    except WrkMissing as error:
        say(str(error))
        return 1
    load_before, bench = machine.load_average(), Bench(given)
    rows = list(bench.rows(given.work))
    if not rows:
        return 1
    task = get_work(rows[0].settings.model, given.envs / "models")
    capacities = {row.label: measure_capacity(bench, row, task, given.seconds) for row in rows}
    capacity = min(capacities.values())
    say(f"capacity: {capacities}; loads are parts of {capacity:.0f} requests/s")
    measured: dict[tuple[str, float], list[Measured]] = {}
    for turn in range(given.repeat):
        for row in rows:
            say(f"{turn + 1} of {given.repeat}: {row.label}")
            for load, figures in measure_row(bench, row, task, capacity, given.seconds, turn).items():
                measured.setdefault((row.label, load), []).append(figures)
    lines = [
        {"work": given.work, "server": label, "load": load, "rate": round(capacity * load, 1)} | medians(figures)
        for (label, load), figures in measured.items()
    ]
    for line in lines:
        print(json.dumps(line))
    if given.out:
        told = machine.describe() | {
            "load_average": {"before": load_before, "after": machine.load_average()},
            "seconds": given.seconds, "repeat": given.repeat, "capacity": capacities, "rows": lines,
        }  # fmt: skip
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(told, indent=1) + "\n")
    return 0


def measure_capacity(bench: Bench, row: Row, task: Work, seconds: int) -> float:
    with tempfile.TemporaryDirectory(prefix="sy-peer-") as name, bench.serve(row, task, Path(name)) as endpoint:
        ask = endpoint.url, endpoint.body, endpoint.headers, CAPACITY_CLIENTS
        measure(*ask, WARM_UP_S)
        return measure(*ask, seconds).rps


def measure_row(bench: Bench, row: Row, task: Work, capacity: float, seconds: int, seed: int) -> dict[float, Measured]:
    with tempfile.TemporaryDirectory(prefix="sy-peer-") as name, bench.serve(row, task, Path(name)) as endpoint:
        measure(endpoint.url, endpoint.body, endpoint.headers, CAPACITY_CLIENTS, WARM_UP_S)
        return {load: open_loop(endpoint, capacity * load, seconds, seed) for load in LOADS}


def open_loop(endpoint: Endpoint, rate: float, seconds: int, seed: int) -> Measured:
    command = [
        sys.executable, "-m", "bench.open_loop", endpoint.url, "--body", str(endpoint.body), "--rate", str(rate),
        "--seconds", str(seconds), "--seed", str(seed), "--header", "Content-Type: application/json",
    ]  # fmt: skip
    for name, value in endpoint.headers.items():
        command += ["--header", f"{name}: {value}"]
    bound_s = seconds + PATIENCE_S + 30
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=bound_s)
    return json.loads(done.stdout)


def medians(figures: list[Measured]) -> Measured:
    """Of repetitions; errors and requests add up."""
    added = {name: sum(one[name] for one in figures) for name in ("requests", "errors")}
    middle = {
        name: round(statistics.median(one[name] for one in figures), 3)
        for name in ("p50_ms", "p99_ms", "sent_late_p99_ms")
    }
    return added | middle


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    servers = (OURS, *BY_NAME)
    parser.add_argument("--work", choices=tuple(WORKS), default="w2")
    parser.add_argument("--servers", type=names(servers), default=(OURS, "triton"), help=f"of {', '.join(servers)}")
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--repeat", type=int, default=2, help="repetitions, interleaved")
    parser.add_argument("--out", type=Path, help="file for everything measured, with the machine and its load")
    parser.add_argument("--envs", type=lambda path: Path(path).absolute(), default=environments.DEFAULT)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
