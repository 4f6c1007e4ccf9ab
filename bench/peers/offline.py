"""What the bare model gives with no server around it: `python -m bench.peers.offline --work w2|w2int8 [--json]`.

Two processes with one thread each, as the servers have workers, call the model of the peers on arrays that are there
already, for the same seconds. Rows a second of both together, for each batch size: the ceiling of whoever runs the
model as it is.
"""

import argparse
import json
import sys
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np

from bench.peers import environments
from bench.peers.servers import models
from bench.peers.servers.settings import Settings
from bench.peers.works import get_work, sample

PROCESSES = 2
LOAD_S = 120


def main() -> None:
    given = arguments()
    folder = given.envs / "models"
    get_work(given.work, folder)
    for rows in given.rows:
        line = {"work": given.work, "rows": rows, "processes": PROCESSES, "rows_per_s": round(rate(given, rows), 1)}
        print(json.dumps(line) if given.json else f"{given.work}, batches of {rows}: {line['rows_per_s']} rows/s")


def rate(given: argparse.Namespace, rows: int) -> float:
    context = get_context("spawn")
    together = context.Barrier(PROCESSES)
    asked = Settings(given.work, models=str(given.envs / "models"))
    with context.Pool(PROCESSES, initializer=prepare, initargs=(together,)) as pool:
        calls = [pool.apply_async(run, (asked, rows, given.seconds)) for _ in range(PROCESSES)]
        return sum(call.get(LOAD_S + 2 * given.seconds) for call in calls)


def prepare(together: Barrier) -> None:
    """In each process: the models' files are read in seconds, so all begin to count when the last is ready."""
    global start_line
    start_line = together


def run(asked: Settings, rows: int, seconds: float) -> float:
    call = models.load(asked)
    batch = [np.repeat(values, rows, axis=0) for values in sample(asked.model)]
    call(*batch)
    start_line.wait(LOAD_S)
    began_s, done = time.perf_counter(), 0
    while time.perf_counter() - began_s < seconds:
        call(*batch)
        done += rows
    return done / (time.perf_counter() - began_s)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.peers.offline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", choices=("w2", "w2int8"), default="w2")
    parser.add_argument("--rows", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", action="store_true", help="one line of JSON a batch size")
    parser.add_argument("--envs", type=lambda path: Path(path).absolute(), default=environments.DEFAULT)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
