"""Which arm did the next failure come from? The test for failures, and for invalid outputs.

Let `weight` be the chance that a unit (a request, or a key under sticky routing) was given to the canary, and let the
canary fail `ratio` times as often as the control. Then, of units that failed, a share of

    theta(weight, ratio) = weight·ratio / (weight·ratio + 1 - weight)

are the canary's, whatever the traffic and the failure rate do meanwhile: only failures are looked at, and the weight
may change between two of them. Against the null "ratio ≤ tolerated" a cell bets on `tolerated × m`:

    E = Σ_m share_m Π_i (theta_i(m) / theta_i(tolerated))^{x_i} ((1 - theta_i(m)) / (1 - theta_i(tolerated)))^{1 - x_i}

with x_i = 1 for a canary's failure (Lindon & Malek, arXiv 2011.03567: sequential multinomial tests for arrivals of
varying rate; the mixture over a grid is ours). Each factor has mean 1 at the tolerated ratio and less below it.

**The unit of evidence is the unit of randomisation.** Under sticky routing one broken client fails again and again on
the arm it was given once; only its first failure counts. The caller sees to that (`keys.py`).
"""

import math
from functools import lru_cache

from msgspec import Struct

from inference.policy.canary.wealth import Wealth, comparable

Gains = tuple[tuple[float, ...], tuple[float, ...]]  # of a control's failure, of a canary's: indexed by the arm

GRID = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
# Not equal: 1.25 needs thousands of failures and 30 few whatever its share, so both can wait for theirs.
SHARES = (0.02, 0.05, 0.15, 0.28, 0.22, 0.23, 0.05)


def theta(weight: float, ratio: float) -> float:
    """The canary's share of failures when it fails `ratio` times as often; both arguments are over 0."""
    return weight * ratio / (weight * ratio + 1.0 - weight)


@lru_cache(maxsize=256)
def gains_of(weight: float, tolerated: float, grid: tuple[float, ...]) -> Gains:
    """Logarithms of each cell's factor, for a failure of the control and of the canary."""
    control = tuple(control_gain(weight, tolerated, tolerated * step) for step in grid)
    canary = tuple(math.log(step) + gain for step, gain in zip(grid, control, strict=True))
    return control, canary


def control_gain(weight: float, null: float, bet: float) -> float:
    """ln((1 - theta(bet)) / (1 - theta(null))), written so that it is finite however near to 1 a theta comes."""
    return math.log(weight * null + 1.0 - weight) - math.log(weight * bet + 1.0 - weight)


def divergence(weight: float, truth: float, null: float) -> float:
    """What a failure says on average against the ratio `null`, in nats, when the ratio is `truth`."""
    return theta(weight, truth) * math.log(truth / null) + control_gain(weight, null, truth)


class FailureTest(Struct, tag=True):
    """E-process against "the canary fails at most `tolerated` times as often as the control".

    With a grid under 1 it is the mirror: against "at least `tolerated` times as often", which is what promotion needs.
    A weight of 0 or 1, or NaN, compares nothing: such a failure is counted in `skipped` and moves nothing else.
    """

    tolerated: float
    grid: tuple[float, ...]
    log_shares: tuple[float, ...]
    wealth: Wealth
    canary: int = 0
    control: int = 0
    skipped: int = 0

    def observe(self, canary: bool, weight: float) -> None:
        """One failed unit, and the weight in force when it was assigned."""
        if not comparable(weight):
            self.skipped += 1
            return
        if canary:
            self.canary += 1
        else:
            self.control += 1
        self.wealth.bet(gains_of(weight, self.tolerated, self.grid)[canary])

    def merge(self, other: "FailureTest") -> None:
        """Add a disjoint stream's evidence. Raises ValueError for a test of something else."""
        if (other.tolerated, other.grid, other.log_shares) != (self.tolerated, self.grid, self.log_shares):
            raise ValueError("These two tests bet on different ratios; only alike tests merge.")
        self.wealth.absorb(other.wealth, self.log_shares)
        self.canary += other.canary
        self.control += other.control
        self.skipped += other.skipped


def failure_test(
    tolerated: float = 1.0, grid: tuple[float, ...] = GRID, shares: tuple[float, ...] = SHARES
) -> FailureTest:
    """A test that has seen nothing. Raises ValueError unless ratios are over 0 and shares sum to at most 1."""
    if not (0 < tolerated < math.inf) or not all(0 < step < math.inf for step in grid):
        raise ValueError(f"Ratios must be over 0 and finite: tolerated {tolerated}, grid {grid}.")
    if len(shares) != len(grid) or not all(share > 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise ValueError(f"Each of {len(grid)} cells needs a share over 0, together at most 1: {shares}.")
    log_shares = tuple(math.log(share) for share in shares)
    return FailureTest(tolerated, grid, log_shares, Wealth(list(log_shares)))
