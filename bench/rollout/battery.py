"""Two hundred broken canaries and as many healthy ones, each through the product's own analysis, outcome by outcome.

    python -m bench.rollout.battery --log FILE --format gentd26|latency_csv [--unit sticky|request] [--json]

The faults are those that models have: errors, a crash loop, timeouts, slowness of all answers or of a few, a leak that
slows it down over hours, outputs that are wrong or not finite, and some that begin only in a later step. Recall is the
share of broken canaries that were rolled back, precision the share of rollbacks that hit a broken one.
"""

import argparse
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.rollout.log import FORMATS, Log, read_log
from bench.rollout.replay import Stretch, Trial
from inference.policy.canary.analysis import CanaryAnalysis, begin
from inference.policy.canary.guard import Outcome

EACH = 20  # canaries a fault

Fault = Callable[[random.Random, float, float], tuple[bool, bool, float]]


def errors(factor: float) -> Fault:
    """A further share of requests fails: `factor` per cent of them."""
    return lambda chance, took, _: (chance.random() < factor / 100, False, took)


def crash_loop(_: random.Random, took: float, age: float) -> tuple[bool, bool, float]:
    """Down for a tenth of the time, in bouts."""
    return age * 40 % 1 < 0.1, False, took


def timeouts(chance: random.Random, took: float, _: float) -> tuple[bool, bool, float]:
    return False, False, math.inf if chance.random() < 0.05 else took


def slower(factor: float, share: float = 1.0) -> Fault:
    return lambda chance, took, _: (False, False, took * factor if chance.random() < share else took)


def leak(_: random.Random, took: float, age: float) -> tuple[bool, bool, float]:
    """Twice as slow at the end as at the beginning."""
    return False, False, took * (1 + age)


def invalid(share: float) -> Fault:
    return lambda chance, took, _: (False, chance.random() < share, took)


def late(fault: Fault) -> Fault:
    """Well in the first half, which is its first step."""
    return lambda chance, took, age: fault(chance, took, age) if age >= 0.5 else (False, False, took)


FAULTS: dict[str, Fault] = {
    "5 % errors": errors(5),
    "20 % errors": errors(20),
    "crash loop": crash_loop,
    "5 % time-outs": timeouts,
    "1.2 times slower": slower(1.2),
    "2 times slower": slower(2.0),
    "1 in 10 is 5 times slower": slower(5.0, 0.1),
    "leak": leak,
    "1 % invalid outputs": invalid(0.01),
    "all outputs invalid": invalid(1.0),
    "20 % errors from the second step": late(errors(20)),
    "1.5 times slower from the second step": late(slower(1.5)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--weight", type=float, default=0.1)
    parser.add_argument("--unit", choices=("sticky", "request"), default="request")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = run(read_log(given.log, given.format), Trial(weight=given.weight, sticky=given.unit == "sticky"))
    if given.json:
        print(json.dumps(result))
        return
    for name, row in result["faults"].items():
        print(f"{name:40}{row['found']:>4} of {row['of']}  after {row['requests_p50']} canary requests (median)")
    print(f"healthy: {result['false_rollbacks']} of {result['healthy']} rolled back")
    print(f"recall {result['recall']:.3f}, precision {result['precision']:.3f}, {result['cpu_s']} s of processor")


def run(log: Log, trial: Trial, each: int = EACH) -> dict[str, Any]:
    began = time.process_time()
    rows: dict[str, dict[str, float | None]] = {}
    found_all, healthy = 0, each * len(FAULTS)
    stretches = [Stretch(log, len(log) * place // each, trial) for place in range(each)]
    for name, fault in FAULTS.items():
        costs = [cost for cost, _ in (play(stretches[seed], fault, seed) for seed in range(each)) if cost is not None]
        found_all += len(costs)
        half = sorted([*costs, *[math.inf] * (each - len(costs))])[each // 2]
        rows[name] = {"found": len(costs), "of": each, "requests_p50": half if math.isfinite(half) else None}
    false = Counter(play(stretches[seed % each], None, 1000 + seed)[1] for seed in range(healthy))
    false_rollbacks = healthy - false[""]
    return {
        "log": log.name,
        "unit": "sticky" if trial.sticky else "request",
        "faults": rows,
        "broken": healthy,
        "recall": found_all / healthy,
        "healthy": healthy,
        "false_rollbacks": false_rollbacks,
        "precision": found_all / max(1, found_all + false_rollbacks),
        "cpu_s": round(time.process_time() - began, 1),
    }


def play(stretch: Stretch, fault: Fault | None, seed: int) -> tuple[int | None, str]:
    """Canary requests until it was rolled back (None: it was not), and the guard."""
    chance, played = random.Random(seed), stretch.play(np.random.default_rng(seed))
    analysis: CanaryAnalysis = begin(stretch.trial.rules)
    analysis.begin_step(stretch.thresholds)
    served, rows = 0, stretch.once
    for row in range(rows):
        if row == rows // 2:
            analysis.begin_step()
        canary, failed, took = bool(played.canary[row]), bool(played.failed[row]), float(played.latency[row])
        wrong = False
        if canary:
            served += 1
            if fault is not None and not failed:
                failed, wrong, took = fault(chance, took, row / rows)
        analysis.observe(
            Outcome(
                canary, stretch.trial.weight, failed=failed, invalid=wrong,
                latency_s=None if failed or math.isnan(took) else took,
                key=int(played.client[row]) if stretch.trial.sticky else None,
            )
        )  # fmt: skip
        if analysis.stopped_by:
            return served, analysis.stopped_by
    return None, ""


if __name__ == "__main__":
    main()
