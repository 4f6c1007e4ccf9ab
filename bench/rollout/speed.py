"""What one unit of evidence costs, in microseconds of this machine's processor."""

import random
import time

from inference.policy.canary.errors import failure_test
from inference.policy.canary.latency import latency_test
from inference.policy.canary.thresholds import freeze

UNITS = 20_000
TURNS = 5


def measure_speed() -> dict[str, float]:
    """The best of a few turns: what disturbs a measurement only ever makes it slower."""
    chance = random.Random(1)
    units = [(chance.random() < 0.1, chance.lognormvariate(0.0, 0.5)) for _ in range(UNITS)]
    thresholds = freeze([chance.lognormvariate(0.0, 0.5) for _ in range(2000)])
    if thresholds is None:
        raise ValueError("Two thousand latencies were too few for thresholds; lower thresholds.ENOUGH.")
    failure, slow = [], []
    for _ in range(TURNS):
        test = failure_test()
        begin = time.process_time()
        for canary, _ in units:
            test.observe(canary, 0.1)
        failure.append(time.process_time() - begin)
        betting = latency_test(thresholds)
        begin = time.process_time()
        for canary, took_s in units:
            betting.observe(canary, 0.1, took_s)
        slow.append(time.process_time() - begin)
    return {
        "errors_us_per_failure": round(min(failure) / UNITS * 1e6, 2),
        "latency_us_per_request": round(min(slow) / UNITS * 1e6, 2),
    }
