"""How long a canary takes to be judged, and how many requests it costs: for planning, before any of them is sent.

The best cell's log-wealth is a walk whose steps have a known mean and spread under the assumed effect; when it first
passes ln(cells' share / alpha's share) is, nearly, an inverse Gaussian time. A mixture is never slower than its best
cell after paying for that cell's share. Within a third of what simulation finds; nothing is decided by it.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from inference.policy.canary.errors import GRID, SHARES, divergence, gains_of, theta
from inference.policy.canary.latency import gains_of as latency_gains_of
from inference.policy.canary.latency import shares_of
from inference.policy.canary.thresholds import Thresholds
from inference.policy.canary.wealth import comparable


class Passage(Struct, frozen=True):
    """Units of evidence until the decision; inf where it never comes."""

    p50: float
    p95: float


NEVER = Passage(math.inf, math.inf)
NOBODY = Passage(0.0, 0.0)


class Forecast(Struct, frozen=True):
    """`seconds`, and the requests that the canary answers meanwhile."""

    units: Passage
    seconds: Passage
    exposed: Passage


def failures_to_detect(weight: float, ratio: float, alpha: float = 0.01, tolerated: float = 1.0) -> Passage:
    """Failures of both arms until a canary that fails `ratio` times as often is rolled back.

    `alpha` is the guard's own part of the budget. Never, where the ratio is tolerated or the weight compares nothing.
    """
    if not comparable(weight) or not 0.0 < ratio < math.inf:
        return NEVER
    chance = theta(weight, ratio)
    control, canary = gains_of(weight, tolerated, GRID)
    walks = [
        walk(((1.0 - chance, loss), (chance, win)), -math.log(alpha * share))
        for loss, win, share in zip(control, canary, SHARES, strict=True)
    ]
    return soonest(walks)


def failures_to_promote(weight: float, excluded: float = 2.0, beta: float = 0.05, tolerated: float = 1.0) -> float:
    """Failures of both arms, on average, until a canary that is as tolerated is known to be under `excluded`."""
    if not comparable(weight) or not 0.0 < tolerated < excluded < math.inf:
        return math.inf
    gained = divergence(weight, tolerated, excluded)
    return -math.log(beta) / gained if gained > 0.0 else math.inf


def latencies_to_detect(
    control_s: Sequence[float], thresholds: Thresholds, slowdown: float, weight: float, alpha: float = 0.01
) -> Passage:
    """Canary requests until one whose latencies are `slowdown` times the control's is rolled back."""
    if not comparable(weight) or not control_s or not 0.0 < slowdown < math.inf:
        return NEVER
    control, canary = spread(control_s, thresholds, 1.0), spread(control_s, thresholds, slowdown)
    gains = latency_gains_of(weight, thresholds.above)
    walks = []
    for cell, log_share in enumerate(shares_of(thresholds.above)):
        steps = [
            (chance * share, gains[arm][bucket][cell])
            for arm, (chance, shares) in enumerate(((1.0 - weight, control), (weight, canary)))
            for bucket, share in enumerate(shares)
        ]
        walks.append(walk(steps, -log_share - math.log(alpha)))
    both = soonest(walks)
    return Passage(both.p50 * weight, both.p95 * weight)


def spread(control_s: Sequence[float], thresholds: Thresholds, slowdown: float) -> list[float]:
    """The share of latencies in each bucket, if each took `slowdown` times as long."""
    edges = [0.0, *(sum(value * slowdown <= edge for value in control_s) for edge in thresholds.at_s), len(control_s)]
    return [(upper - lower) / len(control_s) for lower, upper in pairwise(edges)]


def soonest(walks: Sequence[Passage]) -> Passage:
    return Passage(min(item.p50 for item in walks), min(item.p95 for item in walks))


def walk(steps: Sequence[tuple[float, float]], height: float) -> Passage:
    """When a walk with these (chance, step) first passes `height`: quantiles of the inverse Gaussian time."""
    drift = sum(chance * step for chance, step in steps)
    if drift <= 0.0:
        return NEVER
    variance = sum(chance * step * step for chance, step in steps) - drift * drift
    if variance <= 0.0:
        return Passage(height / drift, height / drift)
    mean, shape = height / drift, height * height / variance
    return Passage(passage_time(0.5, mean, shape), passage_time(0.95, mean, shape))


def passage_time(level: float, mean: float, shape: float) -> float:
    """The quantile of an inverse Gaussian, by halving its distribution function."""
    low, high = 0.0, mean
    while passed(high, mean, shape) < level:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if passed(middle, mean, shape) < level else (low, middle)
    return high


def passed(time: float, mean: float, shape: float) -> float:
    if time <= 0.0:
        return 0.0
    root = math.sqrt(shape / time)
    first = normal(root * (time / mean - 1.0))
    tail = normal(-root * (time / mean + 1.0))
    # exp(2·shape/mean) overflows where its partner is nothing.
    return first + (math.exp(2.0 * shape / mean + math.log(tail)) if tail > 0.0 else 0.0)


def normal(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2.0))


def forecast_failures(passage: Passage, weight: float, ratio: float, requests_per_s: float, share: float) -> Forecast:
    """Turn failures into time and exposure, at a control that fails a `share` of its requests.

    Raises ValueError unless the rate is over 0 and finite, the weight in [0, 1] and the share in (0, 1]; a canary
    cannot fail more than always.
    """
    check_traffic(weight, requests_per_s)
    if not 0.0 < share <= 1.0:
        raise ValueError(f"The failing share must be over 0 and at most 1; got {share}.")
    failures_per_s = requests_per_s * (weight * min(1.0, share * ratio) + (1.0 - weight) * share)
    return forecast(passage, failures_per_s, requests_per_s * weight)


def forecast_latencies(passage: Passage, weight: float, requests_per_s: float) -> Forecast:
    """Turn canary requests into time. Raises ValueError unless the rate is over 0 and finite, the weight in [0, 1]."""
    check_traffic(weight, requests_per_s)
    return forecast(passage, requests_per_s * weight, requests_per_s * weight)


def forecast(passage: Passage, units_per_s: float, canary_per_s: float) -> Forecast:
    """A canary that is sent nothing is exposed to nobody, however long that lasts."""
    seconds = Passage(passage.p50 / units_per_s, passage.p95 / units_per_s) if units_per_s > 0.0 else NEVER
    if not canary_per_s > 0.0:
        return Forecast(passage, seconds, NOBODY)
    return Forecast(passage, seconds, Passage(seconds.p50 * canary_per_s, seconds.p95 * canary_per_s))


def check_traffic(weight: float, requests_per_s: float) -> None:
    if not 0.0 < requests_per_s < math.inf or not 0.0 <= weight <= 1.0:
        raise ValueError(
            f"Needs finite requests per second over 0 and a weight from 0 to 1; got {requests_per_s} and {weight}."
        )
