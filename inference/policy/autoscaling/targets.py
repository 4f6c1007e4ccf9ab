"""Target tracking: as many replicas as bring a measured figure to its target. What most autoscalers do.

Ratios (GPU, busy time, queue wait) say how far the replicas that are ready are from the target, so they multiply their
number; concurrency says how much work there is, so it divides. A ratio within TOLERANCE of its target moves nothing.

A device's use saturates: near 100 % it says that there is at least enough work, never how much more. So with work
waiting, a saturated device counts by what is waiting too.
"""

from math import ceil

from inference.policy.autoscaling.load import Load, Rule, Step
from inference.spec import ScalePolicy, ScaleSignal

TOLERANCE = 0.1
SATURATED = 0.95
EPSILON = 1e-9  # 5 · 0.98 / 0.7 is a hair above 7
MOST_GROWTH = 4.0  # a ratio never asks for more than this many times the ready replicas at once


def track_target(load: Load, policy: ScalePolicy) -> Step:
    """The answer of the policy's ratio or concurrency signal. UNKNOWN where its figure was not measured."""
    if policy.signal is ScaleSignal.CONCURRENCY:
        return track_concurrency(load, policy)
    if policy.signal is ScaleSignal.QUEUE_WAIT:
        # Nothing waiting is no sign of too many: all but one may be at work.
        value: float | None = load.oldest_wait_s / policy.wait_s
        if load.oldest_wait_s == 0.0:
            return track_concurrency(load, policy)
    else:
        value = load.gpu if policy.signal is ScaleSignal.GPU else load.busy
    if value is None:
        return Step(Rule.UNKNOWN, load.replicas, {"signal": policy.signal.value})
    return track_ratio(load, policy, value)


def track_concurrency(load: Load, policy: ScalePolicy) -> Step:
    wanted = ceil(load.concurrency / (policy.slots * policy.target) - EPSILON)
    facts = {"concurrency": load.concurrency, "slots": float(policy.slots), "target": policy.target}
    return Step(Rule.SIGNAL, wanted, facts)


def track_ratio(load: Load, policy: ScalePolicy, value: float) -> Step:
    ratio = value / policy.target
    facts: dict[str, float | str] = {"signal": policy.signal.value, "value": value, "target": policy.target}
    if value >= SATURATED and load.waiting and policy.signal is not ScaleSignal.QUEUE_WAIT:
        ratio *= 1.0 + load.waiting / max(1, load.ready * policy.slots)
        facts["waiting"] = float(load.waiting)
    if abs(ratio - 1.0) <= TOLERANCE:
        return Step(Rule.SIGNAL, load.replicas, facts)
    # Replicas that are starting will take their part: they count as if they did nothing yet.
    wanted = ceil(load.ready * min(ratio, MOST_GROWTH) - EPSILON)
    if ratio > 1.0:
        wanted = max(wanted, load.replicas)
    return Step(Rule.SIGNAL, wanted, facts)
