"""What ADVANCE still wants: evidence that the canary is not as much worse as the rollout must exclude.

The mirror of the rollback's question. Against the null "the canary fails at least `excluded` times as often" the test
of failures bets on ratios that are tolerated; against "its latencies, divided by `excluded`, are still no smaller than
the control's" the latency test bets on less slow answers. Silence proves nothing: a rollout with too little traffic is
told how many units it has of about how many it takes.

Where failures are rare, a comparison of failures may never end. An objective (SLO) then speaks for the canary too: one
that is under it harms nobody. Being bad means both, so the mean of the two e-values is one against "bad".

Where no guard compares, nothing is excluded, yet silence proves nothing there either. Such a rollout waits for as many
canary requests as it takes until not a single bad one among them would speak for its objective: (1 - limit)^n ≤ beta,
the rule of three. With fewer, a canary just over its limit looks spotless too often. For invalid outputs, which have no
share as a limit, one in twenty is taken. More than MOST units are not waited for: an objective of less than 0.1 % can
be watched by a rollout, not proven.
"""

import math
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from inference.policy.canary.absolute import AbsoluteTest, gains_of
from inference.policy.canary.errors import FailureTest, divergence
from inference.policy.canary.guard import Guard, units_of
from inference.policy.canary.latency import LatencyTest, shares_of
from inference.policy.canary.rules import Metric, Rule
from inference.policy.canary.verdict import Wanting
from inference.policy.canary.wealth import comparable, log_sum_exp

ENOUGH_TO_TELL = 30  # canary latencies
NOTICED = 0.05  # share of invalid outputs that a spotless beginning has to speak against
MOST = 3000  # units that an objective waits for


def want(guards: Sequence[Guard], beta: float, asked: int) -> Iterator[Wanting]:
    """One entry for each guard that ADVANCE waits for; `asked` canary requests were seen."""
    needed = -math.log(beta)
    if all(guard.rule.excluded is None for guard in guards):
        yield from (want_units(guard, needed, asked) for guard in guards)
        return
    objective = next((guard for guard in guards if guard.rule.metric is Metric.SLO_ERROR_RATE), None)
    for guard in guards:
        if guard.rule.excluded is None:
            continue
        if guard.rule.metric is Metric.LATENCY:
            yield want_latencies(guard, needed)
        else:
            yield want_failures(guard, needed, objective)


def want_units(guard: Guard, needed: float, asked: int) -> Wanting:
    """A minimum of units where nothing is compared; `log_e` is what so many would be worth if none was bad."""
    invalid = guard.rule.metric is Metric.INVALID_OUTPUT
    have = asked if invalid else units_of(guard.whole)[0]
    need = fewest_units(guard.rule, needed)
    return Wanting(
        guard=guard.rule.name, unit="latencies" if guard.rule.metric is Metric.SLO_LATENCY else "requests",
        have=have, need=need, log_e=needed * have / need, log_needed=needed, excluded_ratio=None,
    )  # fmt: skip


def fewest_units(rule: Rule, needed: float) -> int:
    """The minimum for a rule that compares nothing."""
    return units_needed(NOTICED if rule.metric is Metric.INVALID_OUTPUT else rule.bad_share, needed)


def units_needed(limit: float, needed: float) -> int:
    """The rule of three: (1 - limit)^n ≤ exp(-needed), at most MOST."""
    return min(MOST, math.ceil(needed / -math.log1p(-limit)))


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
    gained = divergence(guard.weight, guard.rule.limit, excluded)
    return math.ceil(needed / gained) if gained > 0.0 else None


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
