"""The watch after a promotion: the canary has all traffic, stable is kept ready, and there is no control any more.

What was frozen of the time before is the measure now: the share of requests that failed, and a quantile of latency. A
detector watches each. They look for a change from then, not for a difference between versions: a burst that would have
hit stable too counts here. So the share it is given should be one that is still well, not the mean.
"""

import math

from msgspec import Struct

from inference.policy.canary.detector import Detector, detector
from inference.policy.canary.thresholds import Thresholds
from inference.policy.canary.verdict import Evidence, Kind, Verdict

SLOW_QUANTILE = 0.95
LEAST_SHARE = 1e-4  # a service that never failed is not stopped for its first failure


class Watch(Struct):
    """`slow_s`: beyond it an answer is slow; `slow` is None where no latency was frozen."""

    failures: Detector
    slow: Detector | None
    slow_s: float | None

    def observe(self, failed: bool, latency_s: float | None = None) -> None:
        """One request. A latency of None, NaN or under 0 says nothing of latency."""
        self.failures.observe(failed)
        if self.slow is not None and self.slow_s is not None and latency_s is not None and latency_s >= 0.0:
            self.slow.observe(latency_s > self.slow_s)

    def verdict(self) -> Verdict:
        """ROLL_BACK from the first alarm on, else HOLD."""
        watched = {"error_rate": self.failures} | ({"latency": self.slow} if self.slow is not None else {})
        cases = tuple(evidence_of(guard, one) for guard, one in watched.items())
        for guard, one in watched.items():
            if one.alarm_at is not None:
                return Verdict(Kind.ROLL_BACK, guard, one.log_peak, one.log_level, cases)
        return Verdict(Kind.HOLD, evidence=cases)


def evidence_of(guard: str, watched: Detector) -> Evidence:
    """A detector's level is N/alpha, so its "p-value" is the chance of a false alarm within the whole watch."""
    # N / (exp(peak) - 1), of which nothing overflows: some 210 failures in a row are more than exp() can say.
    peak = watched.log_peak
    p_value = min(1.0, watched.watch_units * math.exp(-peak) / -math.expm1(-peak)) if peak > 0.0 else 1.0
    return Evidence(guard, watched.log_e, watched.log_peak, watched.log_level, p_value, watched.units, 0)


def begin_watch(
    failure_share: float, thresholds: Thresholds | None, watch_units: int, alpha: float = 0.01, tolerated: float = 1.5
) -> Watch:
    """A watch over about `watch_units` requests with a chance of at most `alpha` to stop a version that stays well.

    `failure_share`  of requests before the promotion (0..1); up to `tolerated` times that is well
    `thresholds`     of the control's latency; slow is what exceeds the one nearest to its 0.95 quantile
    Raises ValueError for a share that is NaN or outside 0..1, or what `detector` refuses.
    """
    if not 0.0 <= failure_share <= 1.0 or not 0.0 < tolerated < math.inf:
        raise ValueError(f"Needs a share of failures in 0..1 and a ratio over 0; got {failure_share}, {tolerated}.")
    parts = 1 if thresholds is None else 2
    failures = detector(limit_of(failure_share * tolerated), watch_units, alpha / parts)
    if thresholds is None:
        return Watch(failures, None, None)
    slow = thresholds.only(SLOW_QUANTILE)
    slowness = detector(limit_of(slow.above[0] * tolerated), watch_units, alpha / parts)
    return Watch(failures, slowness, slow.at_s[0])


def limit_of(share: float) -> float:
    return min(0.999, max(LEAST_SHARE, share))
