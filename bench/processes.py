"""What a second gateway process brings: `python -m bench.processes [--json]`.

One process and two (`--processes 2`) serve W1 in turn. On a machine with four cores or more the ratio of their rates is
the answer. With fewer, load generator, worker and gateway share what there is, and no second process can show what it
would do elsewhere; what can be measured there bounds it from above:

- CPU time a request of all gateway processes, one beside two: what running two costs. Twice the one over the other is
  the scaling that processes on cores of their own would have.
- The busiest child's part of the work. The kernel deals connections out by a hash, not evenly, and the busiest child
  is full first.
- CPU time a request of the worker, which both share: the rate that it allows, over the rate that one process allows.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import psutil

from bench.load_cost import Cost, measure_cost, median_cost, median_ratio
from bench.peers import machine
from bench.stand import Gateway, Stand, open_stand

CORES_WANTED = 4  # two gateway processes, the worker, the load


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="sy-processes-") as name, open_stand(Path(name)) as stand:
        rows = [measure(stand, clients, given) for clients in given.clients]
    if given.json:
        for row in rows:
            print(json.dumps(machine.describe() | row))
        return
    for row in rows:
        print("\n".join(f"{key:28} {value}" for key, value in row.items()), end="\n\n")


def measure(stand: Stand, clients: int, given: argparse.Namespace) -> dict[str, object]:
    """Both run, one of them idle, and are asked in turn."""
    one, two, parts, worker_us = [], [], [], []
    with stand.gateway() as single, stand.gateway("--processes", "2") as pair:
        for gateway in (single, pair):
            measure_cost(gateway, stand.body, clients, given.seconds)
        for _ in range(given.repeat):
            cost, spent_us = with_worker(stand, single, clients, given.seconds)
            one.append(cost)
            worker_us.append(spent_us)
            before = children_s(pair)
            two.append(measure_cost(pair, stand.body, clients, given.seconds))
            spent = [after - start for after, start in zip(children_s(pair), before, strict=True)]
            parts.append(max(spent) / sum(spent))
    cpu_ratio = median_ratio(two, one, "cpu_us")
    alone, worker = median_cost(one), sorted(worker_us)[len(worker_us) // 2]
    busiest = sorted(parts)[len(parts) // 2]
    return {
        "clients": clients,
        "cores": os.cpu_count(),
        "rps_ratio": median_ratio(two, one, "rps"),
        "rps_ratio_counts": (os.cpu_count() or 1) >= CORES_WANTED,
        "cpu_ratio": cpu_ratio,
        "scaling_by_cpu": round(2 / cpu_ratio, 2),
        "busiest_part": round(busiest, 2),
        "scaling_by_busiest": round(1 / busiest / cpu_ratio, 2),
        "worker_cpu_us": round(worker, 1),
        "scaling_by_worker": round(alone["cpu_us"] / worker, 2),
        "one": alone,
        "two": median_cost(two),
    }


def with_worker(stand: Stand, gateway: Gateway, clients: int, seconds: int) -> tuple[Cost, float]:
    worker = psutil.Process(stand.worker.pid)
    before_s = sum(worker.cpu_times()[:2])
    cost = measure_cost(gateway, stand.body, clients, seconds)
    return cost, (sum(worker.cpu_times()[:2]) - before_s) / max(1.0, cost.rps * seconds) * 1e6


def children_s(gateway: Gateway) -> list[float]:
    return [sum(process.cpu_times()[:2]) for process in gateway.processes()]


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.processes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=numbers, default=(64, 256))
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--repeat", type=int, default=6, help="repetitions, interleaved")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each number of clients")
    return parser.parse_args()


if __name__ == "__main__":
    main()
