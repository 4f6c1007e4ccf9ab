"""Which arm did the next slow answer come from? The test for the whole distribution of latencies.

Before a step the quantiles of the control's latencies are frozen as thresholds. A latency of either arm then lies in
one of the buckets between them. Given its bucket it is the canary's with chance `weight`, for the arm was drawn without
looking at the answer. So, as for failures, each cell bets on the arm, now of answers beyond a threshold *and* of those
below it. A cell (threshold, odds) believes that the canary's odds of exceeding the threshold are `odds` times the
control's, `above` being the control's frozen share beyond it:

    p = above·odds / (1 - above + above·odds)         ratio = p/above beyond, (1 - p)/(1 - above) below the threshold
    factor = ratio / (weight·ratio + 1 - weight)      for a canary's answer
    factor = 1     / (weight·ratio + 1 - weight)      for a control's

Why it is valid: a factor's mean over the arm is 1 whatever the ratio is, so drifting load, a wrong `above` or a badly
chosen threshold cost power, never a false alarm. Against the composite null "the canary is stochastically no slower"
the mean is at most 1, because `ratio` rises with latency. It is testing by betting on tail exceedances (Shekhar &
Ramdas, arXiv 2112.09162) with the odds of assignment for the bet instead of a difference of means: that needs no
waiting for controls, uses every answer once, and splits over gateways at no loss.
"""

import math
from bisect import bisect_left
from functools import lru_cache

from msgspec import Struct

from inference.policy.canary.thresholds import Thresholds
from inference.policy.canary.wealth import Wealth, comparable, equal_shares

SLOWER = (1.15, 1.3, 1.6, 2.2, 4.0, 12.0)  # odds of exceeding a threshold, for the rollback's test
FASTER = (0.8, 0.6, 0.4, 0.2, 0.05)  # for the promotion's

Cells = tuple[tuple[tuple[float, ...], ...], ...]  # [arm][bucket][cell]: logarithms of factors


@lru_cache(maxsize=64)
def gains_of(weight: float, above: tuple[float, ...], odds: tuple[float, ...]) -> Cells:
    """Logarithms of each cell's factor, by arm (0 control, 1 canary) and bucket (0 is the fastest)."""
    arms: list[tuple[tuple[float, ...], ...]] = []
    for canary in (False, True):
        buckets = []
        for bucket in range(len(above) + 1):
            ratios = [ratio_of(share, step, bucket > place) for place, share in enumerate(above) for step in odds]
            buckets.append(tuple(gain(weight, ratio, canary) for ratio in ratios))
        arms.append(tuple(buckets))
    return tuple(arms)


def ratio_of(above: float, odds: float, beyond: bool) -> float:
    """How much likelier an answer beyond (or else below) the threshold is believed to be on the canary."""
    shifted = above * odds / (1.0 - above + above * odds)
    return shifted / above if beyond else (1.0 - shifted) / (1.0 - above)


def gain(weight: float, ratio: float, canary: bool) -> float:
    return (math.log(ratio) if canary else 0.0) - math.log(weight * ratio + 1.0 - weight)


class LatencyTest(Struct, tag=True):
    """E-process against "the canary's latencies, divided by `tolerated`, are stochastically no larger".

    With odds under 1 it is the mirror: against "… no smaller", which is what promotion needs.
    Not evidence, and only counted in `skipped`: NaN, latencies under 0 (a clock went back), weights of 0 or 1.
    An infinite latency (no answer in time) lies beyond every threshold.
    """

    tolerated: float
    thresholds: Thresholds
    odds: tuple[float, ...]
    wealth: Wealth
    canary: int = 0
    control: int = 0
    skipped: int = 0

    def bucket_of(self, canary: bool, latency_s: float) -> int:
        """How many thresholds the latency exceeds."""
        return bisect_left(self.thresholds.at_s, latency_s / self.tolerated if canary else latency_s)

    def observe(self, canary: bool, weight: float, latency_s: float) -> None:
        """One measured latency in seconds, and the weight in force when its unit was assigned."""
        if not (latency_s >= 0.0 and comparable(weight)):
            self.skipped += 1
            return
        if canary:
            self.canary += 1
        else:
            self.control += 1
        gains = gains_of(weight, self.thresholds.above, self.odds)
        self.wealth.bet(gains[canary][self.bucket_of(canary, latency_s)])

    def refreeze(self, thresholds: Thresholds) -> None:
        """Go on over other thresholds: a cell is a way to bet and may change. New cells share the wealth alike."""
        cells = len(thresholds.at_s) * len(self.odds)
        if cells != len(self.wealth.logs):
            self.wealth.logs = [self.wealth.log_e + share for share in equal_shares(cells)]
        self.thresholds = thresholds

    def merge(self, other: "LatencyTest") -> None:
        """Add a disjoint stream's evidence; what was gathered over the last step's thresholds is evidence still.

        Raises ValueError for a test of other ratios or of another number of thresholds.
        """
        alike = (other.tolerated, other.odds, len(other.thresholds.at_s))
        if alike != (self.tolerated, self.odds, len(self.thresholds.at_s)):
            raise ValueError("These two tests bet on different ratios or thresholds; only alike tests merge.")
        self.wealth.absorb(other.wealth, equal_shares(len(self.wealth.logs)))
        self.canary += other.canary
        self.control += other.control
        self.skipped += other.skipped


def latency_test(thresholds: Thresholds, tolerated: float = 1.0, odds: tuple[float, ...] = SLOWER) -> LatencyTest:
    """A test that has seen nothing. Raises ValueError for ratios that are not over 0 and finite, or no threshold."""
    if not thresholds.at_s:
        raise ValueError("A latency test needs at least one threshold; freeze some quantiles.")
    if not (0 < tolerated < math.inf) or not all(0 < step < math.inf for step in odds):
        raise ValueError(f"Ratios must be over 0 and finite: tolerated {tolerated}, odds {odds}.")
    return LatencyTest(tolerated, thresholds, odds, Wealth(list(equal_shares(len(thresholds.at_s) * len(odds)))))
