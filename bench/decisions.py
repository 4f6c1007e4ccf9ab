"""What the pure decisions cost, and that they are exact at full size: `python -m bench.decisions`.

    routing   a million keys: how far each version's share is from its weight, how many keys a rising weight moves back,
              and the time of one choice
    scaling   one decision for each of 1,000 units, as a controller asks every second
    cost      a million random batches: what the lines add up to against what was metered
    cache     one operation of each strategy, a look-up or an insertion with its eviction, in the dearest of four sizes

Times are CPU time of this process, the best of several rounds, so that neighbours on the machine count little.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from random import Random

from bench.cache.replay import replay
from inference.policy.autoscaling.decide import Autoscaler
from inference.policy.autoscaling.load import Load
from inference.policy.cache.registry import STRATEGIES
from inference.policy.cost import LineKind, Meter, Payer, Share, Usage, settle
from inference.policy.routing import Facts, RoutingTable, choose_version, prepare
from inference.spec import (
    Artifact,
    Assignment,
    Format,
    ModelSpec,
    RolloutPlan,
    ScalePolicy,
    ScaleSignal,
    Signature,
    Step,
    Traffic,
    Unit,
    Version,
    Weight,
)
from inference.status import Effective

SECOND_NS = 1_000_000_000
CACHE_SIZES = (30, 250, 1_000, 4_000)  # entries
PERCENTS = (1.0, 5.0, 10.0, 25.0, 50.0, 75.0)

Row = dict[str, str | int | float | bool]


def main() -> int:
    given = arguments()
    rows = [
        time_choices(given.rounds), share_keys(given.keys), time_scaling(given.units), add_up_cost(given.batches),
        time_caches(given.requests, given.rounds),
    ]  # fmt: skip
    for row in rows:
        print(json.dumps(row) if given.json else "  ".join(f"{name}={value}" for name, value in row.items()))
    return 0


def live(number: int) -> Version:
    digest = f"{number:064x}"
    return Version(
        number=number, digest=digest, format=Format.ONNX,
        artifact=Artifact(digest=digest, files=(), store="file:///none"),
        signature=Signature(inputs=(), outputs=()), stages=(), units=(Unit(name="main", stages=()),),
    )  # fmt: skip


def table_of(canary_percent: float, assignment: Assignment) -> RoutingTable:
    plan = RolloutPlan(id="r", stable=1, canary=2, steps=(Step(percent=50, bake_s=1),))
    spec = ModelSpec(
        name="m", epoch="e", generation=1, versions=(live(1), live(2)), aliases={"stable": 1},
        traffic=Traffic(weights=(Weight(version=1, percent=100),), assignment=assignment), rollout=plan,
    )  # fmt: skip
    weights = Weight(version=1, percent=100 - canary_percent), Weight(version=2, percent=canary_percent)
    return prepare(spec, Effective(name="m", epoch="e", generation=1, fence=1, weights=weights, salt="s"))


def best_ns(call: Callable[[], object], rounds: int, times: int = 20_000) -> float:
    """Nanoseconds of one call, the loop around it taken off."""

    def loop(what: Callable[[], object]) -> int:
        start = time.process_time_ns()
        for _ in range(times):
            what()
        return time.process_time_ns() - start

    return (min(loop(call) for _ in range(rounds)) - min(loop(lambda: None) for _ in range(rounds))) / times


def time_choices(rounds: int) -> Row:
    weighted, sticky = table_of(10.0, Assignment.REQUEST), table_of(10.0, Assignment.KEY)
    nobody, somebody, pin = Facts(), Facts(canary_key="user-1234567"), Facts(pinned="stable")
    return {
        "decision": "choose_version",
        "weighted_ns": round(best_ns(lambda: choose_version(weighted, nobody, 0.5), rounds)),
        "sticky_ns": round(best_ns(lambda: choose_version(sticky, somebody, 0.5), rounds)),
        "pinned_ns": round(best_ns(lambda: choose_version(weighted, pin, 0.5), rounds)),
    }


def share_keys(keys: int) -> Row:
    """The canary's share at each weight, in points off it at most, and keys that a rise took from the canary."""
    off, moved_back = 0.0, 0
    before = bytearray(keys)
    for percent in PERCENTS:
        table = table_of(percent, Assignment.KEY)
        on_canary = bytearray(
            choose_version(table, Facts(canary_key=f"user-{number}"), 0.0).version == 2 for number in range(keys)
        )
        off = max(off, abs(100.0 * sum(on_canary) / keys - percent))
        moved_back += sum(was > now for was, now in zip(before, on_canary, strict=True))
        before = on_canary
    return {"decision": "sticky shares", "keys": keys, "points_off": round(off, 4), "moved_back": moved_back}


def time_scaling(units: int) -> Row:
    """Every unit learns for a while first: an empty history would flatter."""
    chance = Random(1)
    policy = ScalePolicy(max_replicas=64, signal=ScaleSignal.PREDICTIVE, slots=4)
    scalers = [Autoscaler(policy) for _ in range(units)]
    took_ns = []
    for second in range(120):
        loads = [
            Load(
                ready=6, concurrency=chance.gammavariate(9.0, 2.0), peak=20.0 + chance.random() * 8, arrivals=5,
                finished=5, service_s=20.0,
            )
            for _ in scalers
        ]  # fmt: skip
        start = time.process_time_ns()
        for scaler, load in zip(scalers, loads, strict=True):
            scaler.decide(load, float(second))
        took_ns.append(time.process_time_ns() - start)
    late = sorted(took_ns[60:])
    return {"decision": "scale", "units": units, "ms": late[0] / 1e6, "ms_p50": late[len(late) // 2] / 1e6}


def add_up_cost(batches: int) -> Row:
    """Random batches on random replicas at random prices; some are retried, some overlap."""
    chance = Random(7)
    payers = [Payer(f"key-{number}", route) for number in range(20) for route in ("weighted", "sticky", "pinned")]
    meters = [Meter("m", number, "main") for number in range(16)]
    lines_nano = done = 0
    start = time.process_time_ns()
    while done < batches:
        usages = []
        for _ in range(min(chance.randrange(1, 9), batches - done)):
            shares = tuple(Share(chance.choice(payers), chance.randrange(64)) for _ in range(chance.randrange(1, 9)))
            kind = LineKind.RETRY if chance.random() < 0.02 else LineKind.COMPUTE
            usages.append(Usage(chance.randrange(SECOND_NS // 3), shares, kind))
            done += 1
        which = chance.randrange(len(meters))
        price = chance.randrange(10_000_000_000)
        meters[which], lines = settle(meters[which], chance.randrange(2 * SECOND_NS), price, usages)
        lines_nano += sum(line.nano for line in lines)
    metered_nano = sum(meter.total_nano for meter in meters)
    return {
        "decision": "cost", "batches": done, "metered_nano": metered_nano, "difference_nano": lines_nano - metered_nano,
        "us_a_batch": round((time.process_time_ns() - start) / 1e3 / done, 2),
    }  # fmt: skip


def time_caches(requests: int, rounds: int) -> Row:
    """Popularity has a long tail, so that a third to two thirds miss; all of it counts, filling up and learning too."""
    chance = Random(11)
    keys = [int(min(chance.paretovariate(0.15), 1e15)) for _ in range(requests)]
    row: Row = {"decision": "cache", "requests": requests}
    for name in STRATEGIES:
        dearest_ns = 0.0
        for size in CACHE_SIZES:
            figures = [replay(keys, name, size) for _ in range(rounds)]
            request_ns = min(each.request_ns or 0.0 for each in figures)
            # A miss is two operations.
            dearest_ns = max(dearest_ns, request_ns / (2.0 - (figures[0].hit_ratio or 0.0)))
        row[f"{name}_ns"] = round(dearest_ns)
    return row


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.decisions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--units", type=int, default=1_000)
    parser.add_argument("--batches", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=100_000, help="of each cache")
    parser.add_argument("--rounds", type=int, default=7, help="of each timing; the best counts")
    parser.add_argument("--json", action="store_true", help="a line of JSON a decision")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
