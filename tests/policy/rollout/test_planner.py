"""The planner against what it plans: the canary's own tests and the machine, fed with chance."""

import random
import re
import statistics
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rollouts import make_facts, make_intent, make_plan, make_progress

from inference.policy.canary.analysis import begin
from inference.policy.canary.guard import Outcome
from inference.policy.canary.rules import make_rules
from inference.policy.canary.thresholds import freeze
from inference.policy.rollout.facts import FINAL
from inference.policy.rollout.machine import step_rollout
from inference.policy.rollout.planner import Effect, Load, Promotion, Rung, forecast_promotion, forecast_rollback
from inference.spec import Guard, RolloutPlan, Step
from inference.status import Phase

ROOT = Path(__file__).resolve().parents[3]


def ladder(*percents: float, bake_s: float = 60.0, **fields: object) -> RolloutPlan:
    steps = tuple(Step(percent=percent, bake_s=bake_s) for percent in percents)
    return make_plan(steps=steps, watch_s=0.0, **fields)


def arrivals(chance: random.Random, mean: float) -> int:
    """Poisson, for one second."""
    count, at = 0, chance.expovariate(1.0)
    while at < mean:
        count, at = count + 1, at + chance.expovariate(1.0)
    return count


def play(plan: RolloutPlan, load: Load, ratio: float, seed: int) -> tuple[Phase, float, float]:
    """One rollout, second by second: how it ended, after how long, and how many requests met the canary."""
    chance = random.Random(seed)
    analysis = begin(make_rules(plan.guards, plan.alpha))
    analysis.begin_step()
    progress = make_progress(plan, seen_s=1.0)
    progress = step_rollout(progress, make_facts(now_s=1.0, intent=make_intent("run")))
    progress = step_rollout(progress, make_facts(now_s=1.0))
    exposed = 0.0
    for second in range(1, 20_000):
        weight = progress.percent / 100
        for canary, failing in ((True, weight * ratio), (False, 1 - weight)):
            for _ in range(arrivals(chance, load.requests_per_s * load.failing * failing)):
                analysis.observe(Outcome(canary=canary, weight=weight, failed=True))
        exposed += load.requests_per_s * weight
        step = progress.step
        progress = step_rollout(progress, make_facts(now_s=1.0 + second, verdict=analysis.verdict()))
        if progress.step != step and progress.phase is Phase.BAKING:
            analysis.begin_step()
        if progress.phase in FINAL | {Phase.PROMOTING}:
            return progress.phase, float(second), exposed
    raise AssertionError("It was never decided.")


@pytest.mark.parametrize("percent, ratio", [(10.0, 3.0), (10.0, 10.0), (50.0, 5.0)])
def test_a_bad_canary_is_rolled_back_when_it_was_said_to_be(percent: float, ratio: float) -> None:
    plan, load = ladder(percent), Load(requests_per_s=100.0, failing=0.02)
    played = [play(plan, load, ratio, seed) for seed in range(60)]
    assert sum(phase is Phase.ROLLED_BACK for phase, _, _ in played) >= 58
    said = forecast_rollback(plan, load, Effect(failures=ratio))[0]
    assert said.guard == "error_rate"
    assert said.seconds.p50 == pytest.approx(statistics.median(seconds for _, seconds, _ in played), rel=0.35, abs=2)
    assert said.exposed.p50 == pytest.approx(statistics.median(exposed for _, _, exposed in played), rel=0.35, abs=20)


def test_a_good_canary_is_promoted_when_it_was_said_to_be() -> None:
    plan, load = ladder(10.0, 50.0), Load(requests_per_s=100.0, failing=0.02)
    played = [play(plan, load, 1.0, seed) for seed in range(60)]
    promoted = [one for one in played if one[0] is Phase.PROMOTING]
    assert len(promoted) >= 58
    said = forecast_promotion(plan, load)
    assert said.seconds.p50 == pytest.approx(statistics.median(seconds for _, seconds, _ in promoted), rel=0.35)
    assert said.seconds.p95 == pytest.approx(sorted(seconds for _, seconds, _ in promoted)[56], rel=0.5)
    assert said.exposed.p50 == pytest.approx(statistics.median(exposed for _, _, exposed in promoted), rel=0.35)


def test_a_slow_canary_is_rolled_back_when_it_was_said_to_be() -> None:
    chance = random.Random(7)
    sample = tuple(chance.lognormvariate(-3, 0.5) for _ in range(2000))
    plan = ladder(20.0, guards=(Guard(metric="latency", limit=1.0),))
    said = forecast_rollback(plan, Load(50.0, 0.0, sample), Effect(latency=1.3))[0]
    found = []
    for _ in range(40):
        analysis, answered = begin(make_rules(plan.guards, plan.alpha)), 0
        analysis.begin_step(freeze(sample))
        while not analysis.stopped_by:
            canary = chance.random() < 0.2
            answered += canary
            latency_s = chance.lognormvariate(-3, 0.5) * (1.3 if canary else 1.0)
            analysis.observe(Outcome(canary=canary, weight=0.2, latency_s=latency_s))
        found.append(answered)
    assert said.guard == "latency"
    assert said.exposed.p50 == pytest.approx(statistics.median(found), rel=0.35)


def test_a_fast_canary_is_proven_when_it_was_said_to_be() -> None:
    chance = random.Random(8)
    sample = tuple(chance.lognormvariate(-3, 0.5) for _ in range(2000))
    plan = ladder(20.0, bake_s=0.0, guards=(Guard(metric="latency", limit=1.0),))
    said = forecast_promotion(plan, Load(50.0, 0.0, sample))
    found = []
    for _ in range(40):
        analysis, answered = begin(make_rules(plan.guards, plan.alpha)), 0
        analysis.begin_step(freeze(sample))
        while analysis.verdict().kind.value == "hold":
            canary = chance.random() < 0.2
            answered += canary
            analysis.observe(Outcome(canary=canary, weight=0.2, latency_s=chance.lognormvariate(-3, 0.5)))
        found.append(answered)
    assert said.exposed.p50 == pytest.approx(statistics.median(found), rel=0.35)


def test_where_no_guard_compares_the_canary_has_to_answer_a_minimum_first() -> None:
    plan = ladder(10, bake_s=1.0, guards=(Guard(metric="slo_error_rate", limit=5.0),))
    promotion = forecast_promotion(plan, Load(requests_per_s=10))
    assert promotion.steps[0][1].p50 == pytest.approx(59)  # (1 - 0.05)^59 is below 0.05, at one canary request a second
    assert forecast_promotion(plan, Load(requests_per_s=0)).seconds.p50 == inf


def test_the_smaller_the_step_the_fewer_meet_a_bad_canary_and_the_longer_it_takes() -> None:
    rungs = forecast_rollback(ladder(1, 5, 10, 25, 50), Load(10.0, 0.01), Effect(failures=5.0))
    assert [rung.seconds.p50 for rung in rungs] == sorted((rung.seconds.p50 for rung in rungs), reverse=True)
    assert [rung.exposed.p50 for rung in rungs] == sorted(rung.exposed.p50 for rung in rungs)


def test_without_guards_time_is_all_it_takes() -> None:
    said = forecast_promotion(ladder(10, 50, guards=()), Load(10.0, 0.01))
    assert [at.p50 for _, at in said.steps] == [60, 120]
    assert forecast_rollback(ladder(10, guards=()), Load(10.0, 0.01), Effect(failures=9.0))[0].guard == ""


@pytest.mark.parametrize(
    "plan, load, said",
    [
        (ladder(10), Load(0.0, 0.01), "no traffic"),
        (ladder(10), Load(10.0, 0.0), "no failures"),
        (ladder(10, max_exposed=100), Load(10.0, 0.01), "budget of 100"),
        (ladder(10, deadline_s=100.0), Load(10.0, 0.01), "deadline of 100"),
        (make_plan(steps=(Step(percent=10, bake_s=0, manual=True),)), Load(1e4, 0.01), "somebody"),
        (ladder(10), Load(1e4, 0.01), ""),
    ],
)
def test_the_planner_says_what_will_be_in_the_way(plan: RolloutPlan, load: Load, said: str) -> None:
    obstacle = forecast_promotion(plan, load).obstacle
    assert said in obstacle
    assert bool(said) == bool(obstacle)


@pytest.mark.parametrize("load", [Load(-1.0), Load(nan), Load(inf), Load(1.0, 1.1), Load(1.0, nan), Load(1.0, -0.1)])
def test_traffic_that_cannot_be_is_refused(load: Load) -> None:
    with pytest.raises(ValueError, match="Traffic"):
        forecast_promotion(ladder(10), load)
    with pytest.raises(ValueError, match="Traffic"):
        forecast_rollback(ladder(10), load, Effect())


@pytest.mark.parametrize("effect", [Effect(failures=0.0), Effect(latency=nan), Effect(failures=inf)])
def test_effects_that_cannot_be_are_refused(effect: Effect) -> None:
    with pytest.raises(ValueError, match="Effects"):
        forecast_rollback(ladder(10), Load(1.0, 0.1), effect)


@settings(max_examples=60, deadline=None)
@given(
    percents=st.lists(st.sampled_from([0.0, 1e-6, 1.0, 20.0, 99.9, 100.0]), min_size=1, unique=True),
    rate=st.sampled_from([0.0, 1e-9, 1.0, 1e6]),
    failing=st.sampled_from([0.0, 1e-9, 0.01, 0.9, 1.0]),
    ratio=st.sampled_from([0.5, 1.0, 1.0001, 2.0, 1e6]),
)
def test_any_plan_and_traffic_has_an_answer(percents: list[float], rate: float, failing: float, ratio: float) -> None:
    plan, load = ladder(*sorted(percents)), Load(rate, failing)
    for rung in forecast_rollback(plan, load, Effect(failures=ratio)):
        assert isinstance(rung, Rung)
        assert 0 <= rung.seconds.p50 <= rung.seconds.p95
        assert 0 <= rung.exposed.p50 <= rung.exposed.p95
    said = forecast_promotion(plan, load)
    assert isinstance(said, Promotion)
    assert 0 <= said.seconds.p50 <= said.seconds.p95
    assert 0 <= said.exposed.p50 <= said.exposed.p95


def test_the_examples_of_the_page_are_what_the_planner_says() -> None:
    """docs/rollouts.md: 10 requests/s of which 1 % fail; a first step of so many percent."""
    page = (ROOT / "docs/rollouts.md").read_text()
    rows = re.findall(r"^\| (\d+) % \| ([\d,]+) s \| ([\d,]+) s \| ([\d,]+) \| ([\d,]+) s \| ([\d,]+) \|$", page, re.M)
    assert len(rows) >= 4
    for percent, *numbers in rows:
        plan, load = ladder(float(percent)), Load(10.0, 0.01)
        bad = forecast_rollback(plan, load, Effect(failures=5.0))[0]
        good = forecast_promotion(plan, load)
        said = [bad.seconds.p50, bad.seconds.p95, bad.exposed.p50, good.seconds.p50, good.exposed.p50]
        assert [int(number.replace(",", "")) for number in numbers] == [round(value) for value in said]
