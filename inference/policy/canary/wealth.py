"""The capital of a test by betting: a mixture of e-processes, kept as logarithms.

An e-process starts at 1 and, while its null hypothesis holds, is worth at most 1 on average at every moment one may
choose to look (Ville's inequality: the chance that it ever reaches 1/alpha is at most alpha). A mixture with fixed
shares of e-processes is one too, so a test need not guess how bad a canary is: it holds one cell a guess.

Cells are products of factors, so in logarithms they are sums: evidence that was gathered apart, in whatever order,
merges by adding cell to cell, and a decision is replayed from its log to the last bits of a float.
"""

import math
from collections.abc import Sequence
from operator import add

from msgspec import Struct

LEAST_SHARE = 1e-9  # of traffic, for either arm; with less there is nobody to compare
SAFE = 600.0  # exp() of more overflows soon, of less than the negative loses all its digits


def log_sum_exp(logs: Sequence[float]) -> float:
    """ln Σ exp(x); -inf for nothing at all."""
    top = max(logs, default=-math.inf)
    if -SAFE < top < SAFE:
        return math.log(sum(map(math.exp, logs)))
    if math.isinf(top):
        return top
    return top + math.log(sum(math.exp(value - top) for value in logs))


class Wealth(Struct):
    """Cells with their shares already in them, so that the wealth is their plain sum.

    `logs`  one ln(share × product of factors) a cell
    `log_e` ln of the mixture now; `log_peak` its highest value so far, which is what a verdict rests on
    """

    logs: list[float]
    log_e: float = 0.0
    log_peak: float = 0.0

    def bet(self, gains: Sequence[float]) -> None:
        """Multiply each cell by its factor; `gains` are the factors' logarithms."""
        self.logs = list(map(add, self.logs, gains))
        self.settle()

    def settle(self) -> None:
        self.log_e = log_sum_exp(self.logs)
        if self.log_e > self.log_peak:
            self.log_peak = self.log_e

    def absorb(self, other: "Wealth", log_shares: Sequence[float]) -> None:
        """Add what another stream has earned. Its peak is of that stream alone and says nothing about both."""
        if len(other.logs) != len(self.logs):
            raise ValueError(f"A wealth of {len(other.logs)} cells cannot be added to one of {len(self.logs)}.")
        earned = [log - share for log, share in zip(other.logs, log_shares, strict=True)]
        self.logs = [old + gain for old, gain in zip(self.logs, earned, strict=True)]
        self.settle()

    @property
    def p_value(self) -> float:
        """Valid however often it is looked at."""
        return math.exp(-self.log_peak) if self.log_peak > 0 else 1.0


def equal_shares(cells: int) -> tuple[float, ...]:
    """Logarithms of `cells` equal shares."""
    return (-math.log(cells),) * cells


def comparable(weight: float) -> bool:
    """Whether the canary's share of traffic leaves anything to compare: not 0, not 1, nothing next to them, not NaN."""
    return LEAST_SHARE <= weight <= 1.0 - LEAST_SHARE
