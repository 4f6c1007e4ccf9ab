"""What ADVANCE still wants: evidence that the canary is not as much worse as the rollout must exclude.

The mirror of the rollback's question. Against the null "the canary fails at least `excluded` times as often" the test
of failures bets on ratios that are tolerated; against "its latencies, divided by `excluded`, are still no smaller than
the control's" the latency test bets on less slow answers. Silence proves nothing: a rollout with too little traffic is
told how many units it has of about how many it takes.

Where failures are rare, a comparison of failures may never end. An objective (SLO) then speaks for the canary too: one
that is under it harms nobody. Being bad means both, so the mean of the two e-values is one against "bad".
"""

import math
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from inference.policy.canary.absolute import AbsoluteTest, gains_of
from inference.policy.canary.errors import FailureTest, theta
from inference.policy.canary.guard import Guard
from inference.policy.canary.latency import LatencyTest, shares_of
from inference.policy.canary.rules import Metric
from inference.policy.canary.verdict import Wanting
from inference.policy.canary.wealth import comparable, log_sum_exp

ENOUGH_TO_TELL = 30  # canary latencies


def want(guards: Sequence[Guard], beta: float) -> Iterator[Wanting]:
    """One entry for each guard that ADVANCE waits for."""
    needed = -math.log(beta)
    objective = next((guard for guard in guards if guard.rule.metric is Metric.SLO_ERROR_RATE), None)
    for guard in guards:
        if guard.rule.excluded is None:
            continue
        if guard.rule.metric is Metric.LATENCY:
            yield want_latencies(guard, needed)
        else:
            yield want_failures(guard, needed, objective)


def want_failures(guard: Guard, needed: float, objective: Guard | None) -> Wanting:
    excluded = guard.rule.excluded or math.inf
    mirror = guard.mirror if isinstance(guard.mirror, FailureTest) else None
    log_e = mirror.wealth.log_e if mirror else 0.0
    have = mirror.canary + mirror.control if mirror else 0
    compared = Wanting(
        guard=guard.rule.name, unit="failures", have=have, need=failures_needed(guard, excluded, needed),
        log_e=log_e, log_needed=needed, excluded_ratio=excluded,
    )  # fmt: skip
    under = objective.mirror if objective else None
    if guard.rule.metric is not Metric.ERROR_RATE or not isinstance(under, AbsoluteTest):
        return compared
    both = log_sum_exp((log_e, under.wealth.log_e)) - math.log(2.0)
    if under.wealth.log_e <= log_e:
        return replace(compared, log_e=both)
    need = requests_needed(under, needed + math.log(2.0))
    return replace(compared, unit="requests", have=under.good + under.bad, need=need, log_e=both)


def failures_needed(guard: Guard, excluded: float, needed: float) -> int | None:
    """About how many failures of both arms it takes when the canary is just as tolerated; None without a weight."""
    if not comparable(guard.weight):
        return None
    truth, null = theta(guard.weight, guard.rule.limit), theta(guard.weight, excluded)
    divergence = truth * math.log(truth / null) + (1.0 - truth) * math.log((1.0 - truth) / (1.0 - null))
    return math.ceil(needed / divergence) if divergence > 0.0 else None


def requests_needed(under: AbsoluteTest, needed: float) -> int | None:
    """About how many canary requests it takes at the share of failures seen; None while that is not under the limit."""
    share = (under.bad + 0.5) / (under.good + under.bad + 1.0)
    good, bad = gains_of(under.limit, under.odds)
    best = max((1.0 - share) * gain + share * loss for gain, loss in zip(good, bad, strict=True))
    return math.ceil((needed + math.log(len(good))) / best) if best > 0.0 else None


def latencies_needed(mirror: LatencyTest, needed: float) -> int | None:
    """About how many canary latencies it takes at the pace so far; None with too few, or while nothing is gained."""
    cells = len(mirror.wealth.logs)
    shares = shares_of(mirror.thresholds.above, mirror.slower)
    best = max(log - share for log, share in zip(mirror.wealth.logs, shares, strict=True))
    if mirror.canary < ENOUGH_TO_TELL or best <= 0.0:
        return None
    return math.ceil(mirror.canary * (needed + math.log(cells)) / best)


def want_latencies(guard: Guard, needed: float) -> Wanting:
    excluded = guard.rule.excluded or math.inf
    mirror = guard.mirror if isinstance(guard.mirror, LatencyTest) else None
    return Wanting(
        guard=guard.rule.name, unit="latencies", have=mirror.canary if mirror else 0,
        need=latencies_needed(mirror, needed) if mirror else None,
        log_e=mirror.wealth.log_e if mirror else 0.0, log_needed=needed, excluded_ratio=excluded,
    )  # fmt: skip
