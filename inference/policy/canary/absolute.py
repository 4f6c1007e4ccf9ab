"""Is a share of bad answers over a limit, whatever the control does? For objectives (SLO) of the canary itself.

    E = Σ_j share_j Π (p_j / limit)^x ((1 - p_j) / (1 - limit))^{1 - x}          odds of p_j = odds of limit × odds_j

with x = 1 for a bad unit: an e-process against "each unit is bad with chance at most `limit`, given what came before".
Unlike the comparisons this leans on no randomisation: a burst of bad answers that hits both arms counts against the
canary too. That is the meaning of an objective, and the reason its limit belongs well above the usual share.
"""

import math
from functools import lru_cache

from msgspec import Struct

from inference.policy.canary.wealth import Wealth, equal_shares

OVER = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)  # odds against the limit's, for rolling back
UNDER = (0.7, 0.4, 0.15, 0.02)  # for promoting
LEAST_LIMIT = 1e-9  # a limit, and what it leaves to 1: nearer to either a bet rounds to a certainty


@lru_cache(maxsize=256)
def gains_of(limit: float, odds: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Logarithms of each cell's factor, for a good and for a bad unit."""
    bets = [limit * step / (1.0 - limit + limit * step) for step in odds]
    good = tuple(math.log1p(-bet) - math.log1p(-limit) for bet in bets)
    bad = tuple(math.log(bet) - math.log(limit) for bet in bets)
    return good, bad


class AbsoluteTest(Struct, tag=True):
    """E-process against "at most a share `limit` of units is bad"; with odds under 1, against "at least"."""

    limit: float
    odds: tuple[float, ...]
    wealth: Wealth
    good: int = 0
    bad: int = 0

    def observe(self, bad: bool) -> None:
        if bad:
            self.bad += 1
        else:
            self.good += 1
        self.wealth.bet(gains_of(self.limit, self.odds)[bad])

    def merge(self, other: "AbsoluteTest") -> None:
        """Add a disjoint stream's evidence. Raises ValueError for a test of another limit."""
        if (other.limit, other.odds) != (self.limit, self.odds):
            raise ValueError(f"A test of the limit {other.limit:g} cannot be merged into one of {self.limit:g}.")
        self.wealth.absorb(other.wealth, equal_shares(len(self.odds)))
        self.good += other.good
        self.bad += other.bad


def can_bet(limit: float) -> bool:
    """Whether a limit on a share leaves something to bet on: not 0, not 1, nothing next to them, not NaN."""
    return LEAST_LIMIT <= limit <= 1.0 - LEAST_LIMIT


def absolute_test(limit: float, odds: tuple[float, ...] = OVER) -> AbsoluteTest:
    """A test that has seen nothing. Raises ValueError for a limit that `can_bet` refuses."""
    if not can_bet(limit):
        raise ValueError(f"A limit on a share lies between 0 and 1, not next to either; got {limit}. 5 % is 0.05.")
    return AbsoluteTest(limit, odds, Wealth(list(equal_shares(len(odds)))))
