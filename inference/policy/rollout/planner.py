"""What a rollout will take, before it is run: time until it is decided, and requests that the canary answers meanwhile.

Two questions, both about the plan as it stands and the traffic at hand:

- `forecast_rollback`: if the canary is so much worse, when is it rolled back, and how many requests met it by then?
  Asked of each step by itself: evidence of earlier steps only makes it sooner.
- `forecast_promotion`: if it is no worse, when has each step been passed? The first step with traffic lasts until the
  evidence is in, for evidence that holds counts at every later step; those take their own time.

How many failures or latencies a decision takes is of `canary.power`; here they become seconds. Forecasts are medians
and 95th percentiles. They leave out that traffic varies, freezes, gates, and the loading of the canary.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from inference.policy.canary.errors import failure_test, theta
from inference.policy.canary.errors import gains_of as failure_gains_of
from inference.policy.canary.guard import mirror_test
from inference.policy.canary.latency import gains_of as latency_gains_of
from inference.policy.canary.latency import shares_of
from inference.policy.canary.power import (
    NEVER,
    Forecast,
    Passage,
    failures_to_detect,
    latencies_to_detect,
    soonest,
    spread,
    walk,
)
from inference.policy.canary.promotion import fewest_units
from inference.policy.canary.rules import Metric, Rule, Rules, make_rules
from inference.policy.canary.thresholds import Thresholds, freeze
from inference.policy.rollout.plan import WHOLE, list_rungs, watch_time
from inference.spec import RolloutPlan

AT_ONCE = Passage(0.0, 0.0)


class Load(Struct, frozen=True):
    """The traffic that a rollout will meet. Under sticky assignment count keys instead of requests.

    `requests_per_s`  of the whole model; 0 where there is none
    `failing`         share of stable's requests that fail, 0 to 1
    `latencies_s`     a sample of stable's latencies, for guards on latency; a thousand or more
    """

    requests_per_s: float
    failing: float = 0.0
    latencies_s: tuple[float, ...] = ()


class Effect(Struct, frozen=True):
    """How much worse the canary is taken to be."""

    failures: float = 1.0  # times as many as stable's
    latency: float = 1.0  # times as long


class Rung(Struct, frozen=True):
    """One step's rollback. `guard` is the one that sees the effect first; empty where none ever does."""

    percent: float
    guard: str
    seconds: Passage
    exposed: Passage


class Promotion(Struct, frozen=True):
    """`steps` has for each step its percent and the seconds at which it is passed; `seconds` includes the watch.

    `obstacle` says why it does not come by itself, or is empty.
    """

    steps: tuple[tuple[float, Passage], ...]
    seconds: Passage
    exposed: Passage  # requests that the canary answers before it has all traffic
    obstacle: str = ""


def forecast_rollback(plan: RolloutPlan, load: Load, effect: Effect) -> tuple[Rung, ...]:
    """For each step: when a canary as bad as `effect` is rolled back, counted from the beginning of that step.

    Raises ValueError for traffic or effects that cannot be, and for guards that `make_rules` refuses.
    """
    check_load(load)
    check_effect(effect)
    rules = make_rules(plan.guards, plan.alpha) if plan.guards else Rules(())
    thresholds = freeze(load.latencies_s, enough=1)
    rungs = []
    for step in list_rungs(plan):
        weight = step.percent / WHOLE
        found = [(detect(rule, rules.alpha, weight, load, effect, thresholds), rule.name) for rule in rules.guards]
        never = in_time(NEVER, 0.0, load.requests_per_s * weight)
        soon, guard = min(found, key=lambda one: one[0].seconds.p50, default=(never, ""))
        guard = guard if soon.seconds.p50 < math.inf else ""
        rungs.append(Rung(step.percent, guard, soon.seconds, soon.exposed))
    return tuple(rungs)


def forecast_promotion(plan: RolloutPlan, load: Load) -> Promotion:
    """When a canary that is no worse than stable has passed each step, and all of them.

    Raises ValueError for traffic that cannot be, and for guards that `make_rules` refuses.
    """
    check_load(load)
    rules = make_rules(plan.guards, plan.alpha) if plan.guards else Rules(())
    thresholds = freeze(load.latencies_s, enough=1)
    passed, exposed, proven = AT_ONCE, AT_ONCE, not rules.guards
    steps: list[tuple[float, Passage]] = []
    obstacle = ""
    for step in list_rungs(plan):
        weight = step.percent / WHOLE
        takes = Passage(step.bake_s, step.bake_s)
        if not proven and weight:
            compares = any(rule.excluded is not None for rule in rules.guards)
            wants = [prove(rule, rules.beta, weight, load, thresholds, compares) for rule in rules.guards]
            slowest = max(wants, key=lambda one: one.seconds.p95)
            takes = Passage(*(max(step.bake_s, *(quantile(one.seconds, at) for one in wants)) for at in (0, 1)))
            proven = True
            obstacle = find_obstacle(plan, load, slowest)
        passed = add(passed, takes)
        exposed = add(exposed, Passage(*(times(load.requests_per_s * weight, quantile(takes, at)) for at in (0, 1))))
        steps.append((step.percent, passed))
    if any(step.manual for step in plan.steps):
        obstacle = obstacle or "A step waits for somebody to advance it."
    watched = watch_time(plan)
    return Promotion(tuple(steps), add(passed, Passage(watched, watched)), exposed, obstacle)


def find_obstacle(plan: RolloutPlan, load: Load, slowest: Forecast) -> str:
    """Why evidence for the canary does not come in time, in the plan's own terms."""
    if math.isinf(slowest.seconds.p95):
        if not load.requests_per_s:
            return "There is no traffic, so nothing can be judged."
        return (
            "The guards see nothing that could speak for the canary: no failures at stable, or no sample of latencies. "
            "Advance it by hand, or guard something that this traffic shows."
        )
    if plan.max_exposed is not None and slowest.exposed.p95 > plan.max_exposed:
        return (
            f"The exposure budget of {plan.max_exposed} requests is used before the evidence is in, "
            f"which takes about {slowest.exposed.p50:.0f} and up to {slowest.exposed.p95:.0f}."
        )
    if slowest.seconds.p95 > plan.deadline_s:
        return f"The deadline of {plan.deadline_s:.0f} s passes first: it takes up to {slowest.seconds.p95:.0f} s."
    return ""


def detect(
    rule: Rule, alpha: float, weight: float, load: Load, effect: Effect, thresholds: Thresholds | None
) -> Forecast:
    """When this guard rolls back. Guards on objectives and on outputs are left out: nothing is known of those."""
    canary_per_s = load.requests_per_s * weight
    if rule.metric is Metric.ERROR_RATE and load.failing:
        ratio = min(effect.failures, 1.0 / load.failing)  # nothing fails more often than always
        failures = failures_to_detect(weight, ratio, alpha * rule.share, rule.limit)
        return in_time(failures, failures_per_s(load, weight, ratio), canary_per_s)
    if rule.metric is Metric.LATENCY and thresholds is not None:
        at = thresholds.only(rule.quantile) if rule.quantile else thresholds
        slowdown = effect.latency / rule.limit
        latencies = latencies_to_detect(load.latencies_s, at, slowdown, weight, alpha * rule.share)
        return in_time(latencies, canary_per_s, canary_per_s)
    return in_time(NEVER, 0.0, canary_per_s)


def prove(
    rule: Rule, beta: float, weight: float, load: Load, thresholds: Thresholds | None, compares: bool
) -> Forecast:
    """When this guard has its evidence that the canary, as good as stable, is not as bad as must be excluded.

    One that compares nothing waits for nothing, unless none of the plan does (`compares`): then for a minimum of units.
    """
    canary_per_s = load.requests_per_s * weight
    if rule.excluded is None:
        if compares:
            return Forecast(AT_ONCE, AT_ONCE, AT_ONCE)
        units = float(fewest_units(rule, -math.log(beta)))
        return in_time(Passage(units, units), canary_per_s, canary_per_s)
    if rule.metric is not Metric.LATENCY:
        return in_time(failures_to_promote(rule, weight, beta), failures_per_s(load, weight, 1.0), canary_per_s)
    if thresholds is None:
        return in_time(NEVER, 0.0, canary_per_s)
    at = thresholds.only(rule.quantile) if rule.quantile else thresholds
    return in_time(latencies_to_promote(load.latencies_s, at, rule.excluded, weight, beta), canary_per_s, canary_per_s)


def failures_to_promote(rule: Rule, weight: float, beta: float) -> Passage:
    """Failures of both arms until a canary that fails as often as stable is known to be under `rule.excluded`."""
    mirror = mirror_test(rule, None)
    if not 0.0 < weight < 1.0 or not isinstance(mirror, type(failure_test())):
        return NEVER
    chance = theta(weight, 1.0)
    control, canary = failure_gains_of(weight, mirror.tolerated, mirror.grid)
    cells = zip(control, canary, mirror.log_shares, strict=True)
    return soonest([walk(((1.0 - chance, loss), (chance, win)), -share - math.log(beta)) for loss, win, share in cells])


def latencies_to_promote(
    control_s: Sequence[float], thresholds: Thresholds, excluded: float, weight: float, beta: float
) -> Passage:
    """Canary requests until one as fast as stable is known not to be `excluded` times as slow."""
    if not 0.0 < weight < 1.0:
        return NEVER
    arms = ((1.0 - weight, spread(control_s, thresholds, 1.0)), (weight, spread(control_s, thresholds, 1.0 / excluded)))
    gains = latency_gains_of(weight, thresholds.above, slower=False)
    walks = []
    for cell, log_share in enumerate(shares_of(thresholds.above, slower=False)):
        steps = [
            (chance * share, gains[arm][bucket][cell])
            for arm, (chance, shares) in enumerate(arms)
            for bucket, share in enumerate(shares)
        ]
        walks.append(walk(steps, -log_share - math.log(beta)))
    both = soonest(walks)
    return Passage(both.p50 * weight, both.p95 * weight)


def failures_per_s(load: Load, weight: float, ratio: float) -> float:
    return load.requests_per_s * load.failing * (1.0 - weight + weight * ratio)


def in_time(units: Passage, units_per_s: float, canary_per_s: float) -> Forecast:
    """Units of evidence as seconds, and as requests that the canary answers in them."""
    seconds = Passage(units.p50 / units_per_s, units.p95 / units_per_s) if units_per_s > 0.0 else NEVER
    return Forecast(units, seconds, Passage(times(canary_per_s, seconds.p50), times(canary_per_s, seconds.p95)))


def quantile(passage: Passage, at: int) -> float:
    return passage.p95 if at else passage.p50


def add(one: Passage, other: Passage) -> Passage:
    return Passage(one.p50 + other.p50, one.p95 + other.p95)


def times(rate: float, seconds: float) -> float:
    """Requests in that time; none where there are none, however long."""
    return rate * seconds if rate else 0.0


def check_load(load: Load) -> None:
    if not 0.0 <= load.requests_per_s < math.inf or not 0.0 <= load.failing <= 1.0:
        raise ValueError(
            f"Traffic needs a finite number of requests a second, 0 or more, and a failing share from 0 to 1; "
            f"got {load.requests_per_s} and {load.failing}."
        )


def check_effect(effect: Effect) -> None:
    if not 0.0 < effect.failures < math.inf or not 0.0 < effect.latency < math.inf:
        raise ValueError(f"Effects are ratios over 0, 1 for none; got {effect.failures} and {effect.latency}.")
