"""What a rollout guards, how much worse it tolerates, and how one error budget is split over all guards.

`alpha` is the chance that a canary which is no worse than tolerated is rolled back at all, by any guard, however often
it is looked at. Each guard's e-value counts with its share; since a weighted mean of e-values is one, the sum is judged
against 1/alpha as a whole. That is never slower than judging each guard by its share of alpha.

Under sticky routing it is each guard by its share of alpha. A mean of e-values is one only if what one guard has seen
tells nothing of what the next will see, and there a key's first answer tells the arm of its later failure. That all
chances together are at most alpha is true whatever the guards know of each other.
"""

import math
from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from inference.policy.canary.absolute import can_bet
from inference.spec import Assignment, Guard


class Metric(str, Enum):
    ERROR_RATE = "error_rate"  # limit: tolerated ratio of failures, canary to control
    LATENCY = "latency"  # limit: tolerated ratio of latencies; quantile: of this one only, 0 of the distribution
    SLO_ERROR_RATE = "slo_error_rate"  # limit: percent of the canary's requests
    SLO_LATENCY = "slo_latency"  # limit: seconds that a share 1 - quantile of the canary's answers may exceed
    INVALID_OUTPUT = "invalid_output"  # limit: tolerated ratio of invalid outputs


RATIOS = {Metric.ERROR_RATE, Metric.LATENCY, Metric.INVALID_OUTPUT}
FAILURES = {Metric.ERROR_RATE, Metric.INVALID_OUTPUT}  # which arm did the next one come from?
# Failures get most: there are few of them, and each one of a broken canary is somebody's lost request.
PARTS = {
    Metric.ERROR_RATE: 13,
    Metric.LATENCY: 5,
    Metric.SLO_ERROR_RATE: 1,
    Metric.SLO_LATENCY: 1,
    Metric.INVALID_OUTPUT: 1,
}
# What ADVANCE must exclude, as a multiple of what is tolerated. Invalid outputs are too rare to wait for.
EXCLUDED = {Metric.ERROR_RATE: 2.0, Metric.LATENCY: 1.25}
DEFAULT_QUANTILE = 0.95
LEAST_RATIO, MOST_RATIO = 1e-6, 1e6  # that may be tolerated; beyond, products of ratios and weights lose their digits
LEAST_ALPHA, MOST_ALPHA = 1e-12, 0.5  # as in `spec.RolloutPlan`: shares of less may vanish, more is a coin toss


class Rule(Struct, frozen=True):
    """One guard. Its name is the metric, with the quantile where one is singled out: `latency@0.99`."""

    metric: Metric
    limit: float
    share: float  # of alpha
    quantile: float = 0.0
    excluded: float | None = None  # ratio against which ADVANCE needs evidence; None: it needs none

    @property
    def bad_share(self) -> float:
        """The share of bad units that an objective allows: of failures, or of answers slower than its limit."""
        return self.limit / 100.0 if self.metric is Metric.SLO_ERROR_RATE else 1.0 - self.quantile

    @property
    def name(self) -> str:
        return f"{self.metric.value}@{self.quantile:g}" if self.quantile else self.metric.value


class Rules(Struct, frozen=True):
    guards: tuple[Rule, ...]
    alpha: float = 0.01
    beta: float = 0.05  # chance that a canary which is as bad as excluded gets ADVANCE, for each guard
    sticky: bool = False  # the unit of assignment is a key: only what a key does first is evidence

    @property
    def log_needed(self) -> float:
        return -math.log(self.alpha)


def make_rules(
    guards: Sequence[Guard], alpha: float = 0.01, assignment: Assignment = Assignment.REQUEST, beta: float = 0.05
) -> Rules:
    """The rules of a plan's guards. Raises ValueError for a chance, a metric or a limit that cannot be, or a guard
    twice."""
    if not all(LEAST_ALPHA <= chance <= MOST_ALPHA for chance in (alpha, beta)):
        raise ValueError(f"alpha and beta are chances from {LEAST_ALPHA:g} to {MOST_ALPHA:g}; got {alpha} and {beta}.")
    metrics = [metric_of(guard) for guard in guards]
    total = sum(PARTS[metric] for metric in metrics)
    rules = tuple(rule_of(guard, metric, PARTS[metric] / total) for guard, metric in zip(guards, metrics, strict=True))
    sticky = assignment is Assignment.KEY
    strict = [rule.name for rule in rules if sticky and rule.metric in FAILURES and rule.limit < 1.0]
    if strict:
        raise ValueError(
            f"Guard {strict[0]}: with assignment by key the tolerated ratio must be 1 or more, since keys fail for the "
            f"first time once only, and a canary's that fail later fail as well. Raise the limit, or assign by request."
        )
    names = [rule.name for rule in rules]
    if len(set(names)) < len(names):
        raise ValueError(f"Each guard may be given once; got {', '.join(sorted(names))}.")
    return Rules(rules, alpha, beta, sticky)


def metric_of(guard: Guard) -> Metric:
    try:
        return Metric(guard.metric)
    except ValueError:
        known = ", ".join(metric.value for metric in Metric)
        raise ValueError(f"No guard measures {guard.metric!r}. Known: {known}.") from None


def rule_of(guard: Guard, metric: Metric, share: float) -> Rule:
    limit, quantile = guard.limit, guard.quantile
    if metric is Metric.SLO_LATENCY and not quantile:
        quantile = DEFAULT_QUANTILE
    if not 0.0 < limit < math.inf or not 0.0 <= quantile < 1.0:
        raise ValueError(
            f"Guard {metric.value}: the limit must be over 0 and finite, the quantile at least 0 and under 1; "
            f"got {limit} and {quantile}."
        )
    if metric is Metric.SLO_ERROR_RATE and limit >= 100.0:
        raise ValueError(f"Guard slo_error_rate: a limit of {limit:g} percent can never be exceeded. Lower it.")
    if metric in RATIOS and not LEAST_RATIO <= limit <= MOST_RATIO:
        raise ValueError(
            f"Guard {metric.value}: a tolerated ratio is from {LEAST_RATIO:g} to {MOST_RATIO:g}; got {limit}."
        )
    excluded = limit * EXCLUDED[metric] if metric in EXCLUDED else None
    rule = Rule(metric, limit, share, quantile, excluded)
    if metric not in RATIOS and not can_bet(rule.bad_share):
        raise ValueError(f"Guard {rule.name}: a share of {rule.bad_share:g} is too near to none or all to tell.")
    return rule
