"""Which arm did the next slow answer come from? The test for the whole distribution of latencies.

Before a step the quantiles of the control's latencies are frozen as thresholds. A latency of either arm then lies in
one of the buckets between them. Given its bucket it is the canary's with chance `weight`, for the arm was drawn without
looking at the answer. So, as for failures, each cell bets on the arm. A cell believes that the canary's odds of
exceeding some thresholds are `odds` times the control's, `above` being the control's frozen share beyond a threshold:

    beyond = above·odds / (1 - above + above·odds)     so much for the canary
    ratio  = the canary's share of a bucket / the control's share of it
    factor = ratio / (weight·ratio + 1 - weight)       for a canary's answer in the bucket
    factor = 1     / (weight·ratio + 1 - weight)       for a control's

*Shift* cells believe it of all thresholds at once: everything takes longer. *Tail* cells believe it of one of the upper
ones: a few answers take much longer.

Why it is valid: a factor's mean over the arm is 1 whatever the ratio is, so drifting load, a wrong `above` or a badly
chosen threshold cost power, never a false alarm. Against the composite null "the canary is stochastically no slower"
the mean is at most 1, because `ratio` rises with latency. It is testing by betting on tail exceedances (Shekhar &
Ramdas, arXiv 2112.09162) with the odds of assignment for the bet instead of a difference of means: that needs no
waiting for controls, uses every answer once, and splits over gateways at no loss.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from msgspec import Struct

from inference.policy.canary.thresholds import Thresholds
from inference.policy.canary.wealth import Wealth, comparable

# (odds, share) of shift cells, and of tail cells at each upper threshold; those of a direction sum to 1.
SHIFT_SLOWER = ((1.15, 0.07), (1.3, 0.12), (1.6, 0.15), (2.2, 0.14), (4.0, 0.09), (12.0, 0.03))
TAIL_SLOWER = ((1.6, 0.12), (3.0, 0.16), (10.0, 0.12))
SHIFT_FASTER = ((0.8, 0.2), (0.6, 0.2), (0.4, 0.15), (0.15, 0.05))
TAIL_FASTER = ((0.7, 0.2), (0.3, 0.2))
UPPER = 0.3  # thresholds that at most this share of the control exceeds have tail cells

Cells = tuple[tuple[tuple[float, ...], ...], ...]  # [arm][bucket][cell]: logarithms of factors


@lru_cache(maxsize=64)
def gains_of(weight: float, above: tuple[float, ...], slower: bool = True) -> Cells:
    """Logarithms of each cell's factor, by arm (0 control, 1 canary) and bucket (0 is the fastest)."""
    beliefs = beliefs_of(above, slower)
    buckets = range(len(above) + 1)
    return tuple(
        tuple(tuple(gain(weight, belief[bucket], canary) for belief in beliefs) for bucket in buckets)
        for canary in (False, True)
    )


def gain(weight: float, ratio: float, canary: bool) -> float:
    return (math.log(ratio) if canary else 0.0) - math.log(weight * ratio + 1.0 - weight)


def beliefs_of(above: tuple[float, ...], slower: bool) -> list[list[float]]:
    """Each cell's ratio of canary to control in every bucket: shift cells, then tail cells threshold by threshold."""
    edges = (1.0, *above, 0.0)
    shifts, tails = (SHIFT_SLOWER, TAIL_SLOWER) if slower else (SHIFT_FASTER, TAIL_FASTER)
    beliefs = []
    for odds, _ in shifts:
        shifted = shares_between([scale_odds(share, odds) for share in edges])
        beliefs.append([theirs / ours for theirs, ours in zip(shifted, shares_between(edges), strict=True)])
    for place in upper_places(above):
        for odds, _ in tails:
            beyond_it = scale_odds(above[place], odds)
            below, after = (1.0 - beyond_it) / (1.0 - above[place]), beyond_it / above[place]
            beliefs.append([after if bucket > place else below for bucket in range(len(above) + 1)])
    return beliefs


def shares_of(above: tuple[float, ...], slower: bool = True) -> tuple[float, ...]:
    """Logarithms of the cells' shares, in the order of `beliefs_of`."""
    shifts, tails = (SHIFT_SLOWER, TAIL_SLOWER) if slower else (SHIFT_FASTER, TAIL_FASTER)
    places = len(upper_places(above))
    return (
        *(math.log(share) for _, share in shifts),
        *(math.log(share / places) for _ in range(places) for _, share in tails),
    )


def upper_places(above: tuple[float, ...]) -> list[int]:
    """Thresholds that have tail cells: those few exceed, or else the highest there is."""
    return [place for place, share in enumerate(above) if share <= UPPER] or [len(above) - 1]


def shares_between(edges: Sequence[float]) -> list[float]:
    """The share of latencies in each bucket, of shares beyond the buckets' edges, which fall from 1 to 0."""
    return [upper - lower for upper, lower in pairwise(edges)]


def scale_odds(share: float, odds: float) -> float:
    return share * odds / (1.0 - share + share * odds)


class LatencyTest(Struct, tag=True):
    """E-process against "the canary's latencies, divided by `tolerated`, are stochastically no larger".

    With `slower` False it is the mirror: against "… no smaller", which is what promotion needs.
    Not evidence, and only counted in `skipped`: NaN, latencies under 0 (a clock went back), weights of 0 or 1.
    An infinite latency (no answer in time) lies beyond every threshold.
    """

    tolerated: float
    thresholds: Thresholds
    slower: bool
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
        gains = gains_of(weight, self.thresholds.above, self.slower)
        self.wealth.bet(gains[canary][self.bucket_of(canary, latency_s)])

    def refreeze(self, thresholds: Thresholds) -> None:
        """Go on over other thresholds: a cell is a way to bet and may change. New cells share the wealth anew."""
        shares = shares_of(thresholds.above, self.slower)
        if len(shares) != len(self.wealth.logs):
            self.wealth.logs = [self.wealth.log_e + share for share in shares]
        self.thresholds = thresholds

    def merge(self, other: "LatencyTest") -> None:
        """Add a disjoint stream's evidence; what was gathered over the last step's thresholds is evidence still.

        Raises ValueError for a test of another question or with another number of cells.
        """
        alike = (other.tolerated, other.slower, len(other.wealth.logs))
        if alike != (self.tolerated, self.slower, len(self.wealth.logs)):
            raise ValueError("These two tests ask different questions of latency; only alike tests merge.")
        self.wealth.absorb(other.wealth, shares_of(self.thresholds.above, self.slower))
        self.canary += other.canary
        self.control += other.control
        self.skipped += other.skipped


def latency_test(thresholds: Thresholds, tolerated: float = 1.0, slower: bool = True) -> LatencyTest:
    """A test that has seen nothing. Raises ValueError unless `tolerated` is over 0 and finite."""
    if not 0.0 < tolerated < math.inf:
        raise ValueError(f"The tolerated ratio of latencies must be over 0 and finite; got {tolerated}.")
    return LatencyTest(tolerated, thresholds, slower, Wealth(list(shares_of(thresholds.above, slower))))
