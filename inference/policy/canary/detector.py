"""After the promotion: has it got worse since? There is no control any more, and the change may come at any time.

An e-detector (Shin, Ramdas & Rinaldo, arXiv 2203.03532) is the sum of e-processes that are started at every unit:

    R_n = (R_{n-1} + 1) × factor_n          one a cell, kept as ln(R + 1); the detector is the mean of the cells

R_n - n loses on average while all is well, so alarms at level c come at least c units apart on average, and the chance
of any false alarm within the first N units is at most N/c. For a watch of about N units the level is N/alpha.
A CUSUM, max(M, 1) × factor, is never larger; the sum notices a little sooner at the same guarantee.
"""

import math

from msgspec import Struct

from inference.policy.canary.absolute import OVER, can_bet, gains_of
from inference.policy.canary.wealth import equal_shares, log_sum_exp


class Detector(Struct):
    """Watches the share of bad units against `limit`: what is frozen of the time when all was well, or an objective."""

    limit: float
    watch_units: int
    log_level: float
    odds: tuple[float, ...]
    logs: list[float]  # ln(R + 1), one a cell
    log_peak: float = 0.0
    log_e: float = 0.0  # ln(mean of R + 1), which is what is held against the level
    units: int = 0
    alarm_at: int | None = None  # the unit at which it first reached the level; it stays

    def observe(self, bad: bool) -> bool:
        """One unit. True from the first alarm on."""
        self.units += 1
        gains = gains_of(self.limit, self.odds)[bad]
        self.logs = [softplus(log + gain) for log, gain in zip(self.logs, gains, strict=True)]
        self.log_e = log_sum_exp(self.logs) + equal_shares(len(self.logs))[0]
        self.log_peak = max(self.log_peak, self.log_e)
        if self.alarm_at is None and self.log_e >= self.log_level:
            self.alarm_at = self.units
        return self.alarm_at is not None


def softplus(value: float) -> float:
    """ln(1 + exp(value)): one more start."""
    return value + math.log1p(math.exp(-value)) if value > 0 else math.log1p(math.exp(value))


def detector(limit: float, watch_units: int, alpha: float = 0.01, odds: tuple[float, ...] = OVER) -> Detector:
    """A detector whose chance of a false alarm within `watch_units` is at most `alpha`.

    Raises ValueError for a limit that `can_bet` refuses, and unless watch_units ≥ 1 and 0 < alpha < 1.
    """
    if not can_bet(limit) or watch_units < 1 or not 0.0 < alpha < 1.0:
        raise ValueError(
            f"A detector needs a limit and an alpha between 0 and 1 and at least one unit to watch; "
            f"got limit {limit}, alpha {alpha}, watch_units {watch_units}."
        )
    return Detector(limit, watch_units, math.log1p(watch_units / alpha), odds, [0.0] * len(odds))
