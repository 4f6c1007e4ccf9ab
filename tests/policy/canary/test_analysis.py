"""What a rollout relies on: few false rollbacks, quick true ones, the same verdict from parts, from JSON, and again."""

import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.policy.canary.analysis import CanaryAnalysis, begin, dump, load
from inference.policy.canary.guard import Outcome
from inference.policy.canary.keys import key_hash
from inference.policy.canary.promotion import MOST
from inference.policy.canary.rules import Rules, make_rules
from inference.policy.canary.thresholds import Thresholds, freeze
from inference.policy.canary.verdict import Kind, explain
from inference.spec import Assignment, Guard

GUARDS = (
    Guard(metric="error_rate", limit=1.0),
    Guard(metric="latency", limit=1.0),
    Guard(metric="slo_error_rate", limit=5.0),
    Guard(metric="invalid_output", limit=1.0),
)
REQUEST = make_rules(GUARDS)
STICKY = make_rules(GUARDS, assignment=Assignment.KEY)


def thresholds() -> Thresholds:
    chance = random.Random(0)
    found = freeze([chance.lognormvariate(0, 0.5) for _ in range(1000)])
    assert found is not None
    return found


def started(rules: Rules = REQUEST) -> CanaryAnalysis:
    analysis = begin(rules)
    analysis.begin_step(thresholds())
    return analysis


def traffic(
    seed: int, count: int, *, weight: float = 0.1, failing: float = 0.01, ratio: float = 1.0, slowdown: float = 1.0,
    invalid: float = 0.0, keys: int = 0,
) -> Iterator[Outcome]:  # fmt: skip
    """A canary that fails `ratio` times as often and takes `slowdown` times as long; with `keys`, sticky clients."""
    chance = random.Random(seed)
    arms = [chance.random() < weight for _ in range(keys)]
    for _ in range(count):
        client = chance.randrange(keys) if keys else None
        canary = arms[client] if client is not None else chance.random() < weight
        failed = chance.random() < failing * (ratio if canary else 1)
        took_s = chance.lognormvariate(0, 0.5) * (slowdown if canary else 1)
        yield Outcome(
            canary, weight, failed=failed, invalid=canary and chance.random() < invalid,
            latency_s=None if failed else took_s, key=None if client is None else key_hash(str(client)),
        )  # fmt: skip


def run(analysis: CanaryAnalysis, outcomes: Iterator[Outcome]) -> int:
    """Outcomes until it stops, or all."""
    count = 0
    for outcome in outcomes:
        analysis.observe(outcome)
        count += 1
        if analysis.stopped_by:
            break
    return count


@pytest.mark.parametrize("rules, keys", [(REQUEST, 0), (STICKY, 500)])
def test_a_healthy_canary_is_left_alone(rules: Rules, keys: int):
    stopped = 0
    for seed in range(25):
        analysis = started(rules)
        run(analysis, traffic(seed, 3000, failing=0.03, keys=keys))
        stopped += analysis.verdict().kind is Kind.ROLL_BACK
    assert stopped <= 2  # 1 % of 25 is 0.25


@pytest.mark.parametrize(
    "fault, guard, most",
    [
        ({"ratio": 20.0}, "error_rate", 1500),
        ({"slowdown": 2.0}, "latency", 600),
        ({"invalid": 0.3}, "invalid_output", 600),
    ],
)
def test_a_fault_is_found_and_named(fault: dict[str, float], guard: str, most: int):
    analysis = started()
    assert run(analysis, traffic(1, 10_000, **fault)) < most  # type: ignore[arg-type]
    verdict = analysis.verdict()
    assert (verdict.kind, verdict.guard) == (Kind.ROLL_BACK, guard)
    assert verdict.log_e >= verdict.log_needed == pytest.approx(math.log(100))
    assert f"Roll back: {guard} is worse" in explain(verdict)
    case = next(item for item in verdict.evidence if item.guard == guard)
    assert case.p_value < 0.05


def test_an_objective_stops_a_canary_though_the_control_is_as_bad():
    analysis = started()
    run(analysis, traffic(1, 20_000, failing=0.2))
    assert analysis.verdict().guard == "slo_error_rate"


def test_a_slow_canary_is_stopped_by_its_objective_too():
    analysis = begin(make_rules([Guard(metric="slo_latency", limit=2.0, quantile=0.9)]))
    analysis.begin_step()
    run(analysis, traffic(1, 20_000, slowdown=2.0))
    assert analysis.stopped_by == "slo_latency@0.9"


def test_a_rollback_stands_whatever_comes_later():
    analysis = started()
    run(analysis, traffic(1, 5000, ratio=20.0))
    for outcome in traffic(2, 3000):
        analysis.observe(outcome)
    assert analysis.verdict().kind is Kind.ROLL_BACK


def test_one_broken_client_is_one_piece_of_evidence():
    """Under sticky routing it fails on the arm it was given once; as requests its failures would end any canary."""
    failing = [Outcome(canary=True, weight=0.1, failed=True, key=key_hash("the one with the odd input"))] * 200
    sticky, naive = started(STICKY), started(REQUEST)
    run(sticky, iter(failing))
    run(naive, iter(failing))
    assert sticky.verdict().kind is Kind.HOLD
    assert naive.verdict().kind is Kind.ROLL_BACK
    assert sticky.verdict().evidence[0].canary_units == 1


def test_many_failing_clients_of_the_canary_are_found_under_sticky_routing():
    analysis = started(STICKY)
    run(analysis, traffic(3, 8000, failing=0.01, ratio=10.0, keys=2000))
    assert analysis.stopped_by == "error_rate"


def test_thin_traffic_is_called_inconclusive_with_what_it_takes():
    analysis = started()
    run(analysis, traffic(1, 400, failing=0.05))
    verdict = analysis.verdict()
    assert verdict.kind is Kind.HOLD
    failures = next(item for item in verdict.wanting if item.guard == "error_rate")
    assert 0 < failures.have < (failures.need or 0)
    assert explain(verdict).startswith("Inconclusive: ")
    assert f"{failures.have} of about {failures.need}" in explain(verdict)


def test_silence_is_inconclusive_and_says_so():
    verdict = started().verdict()
    assert verdict.kind is Kind.HOLD
    assert [item.need for item in verdict.wanting] == [None, None]
    assert "too few to say" in explain(verdict)


def test_a_healthy_canary_advances_once_the_evidence_is_in():
    analysis = started()
    run(analysis, traffic(5, 20_000, failing=0.03))
    verdict = analysis.verdict()
    assert verdict.kind is Kind.ADVANCE
    assert "excludes error_rate 2 times the control's" in explain(verdict)
    assert all(item.met for item in verdict.wanting)


def test_without_any_failure_the_objective_lets_it_advance():
    analysis = started()
    run(analysis, traffic(5, 8000, failing=0.0))
    verdict = analysis.verdict()
    assert verdict.kind is Kind.ADVANCE
    assert next(item for item in verdict.wanting if item.guard == "error_rate").unit == "requests"


def test_a_canary_that_is_as_bad_as_excluded_does_not_advance():
    rules = make_rules([Guard(metric="error_rate", limit=1.0), Guard(metric="latency", limit=1.0)], alpha=1e-9)
    for fault in ({"ratio": 2.0}, {"slowdown": 1.25}):
        advanced = 0
        for seed in range(10):
            analysis = started(rules)
            run(analysis, traffic(seed, 4000, failing=0.05, **fault))  # type: ignore[arg-type]
            advanced += analysis.verdict().kind is Kind.ADVANCE
        assert advanced <= 2  # 5 % of 10 is 0.5


def test_no_guards_mean_nothing_to_wait_for():
    analysis = begin(make_rules([]))
    analysis.begin_step()
    analysis.observe(Outcome(canary=True, weight=0.1, failed=True))
    assert analysis.verdict().kind is Kind.ADVANCE
    assert explain(analysis.verdict()) == "Advance: no guard has to be excluded."


@pytest.mark.parametrize(
    "guard, need",
    [
        (Guard(metric="slo_error_rate", limit=5.0), 59),
        (Guard(metric="slo_error_rate", limit=1.0), 299),
        (Guard(metric="slo_error_rate", limit=0.01), MOST),
        (Guard(metric="slo_latency", limit=5.0, quantile=0.95), 59),
        (Guard(metric="invalid_output", limit=1.0), 59),
    ],
)
@pytest.mark.parametrize("assignment", list(Assignment))
def test_where_nothing_is_compared_silence_does_not_advance(guard: Guard, need: int, assignment: Assignment):
    """As many canary units as a spotless canary needs to speak against its limit: the rule of three."""
    analysis = started(make_rules([guard], assignment=assignment))
    kinds = []
    for place in range(need):
        kinds.append(analysis.verdict().kind)
        analysis.observe(Outcome(canary=False, weight=0.1, latency_s=0.1, key=2 * place))
        analysis.observe(Outcome(canary=True, weight=0.1, latency_s=0.1, key=2 * place + 1))
    assert set(kinds) == {Kind.HOLD}
    verdict = analysis.verdict()
    assert verdict.kind is Kind.ADVANCE
    assert f"no objective is broken after {analysis.guards[0].rule.name} {need}" in explain(verdict)
    assert load(dump(analysis)).verdict() == verdict


def test_one_client_that_comes_again_does_not_speak_for_an_objective():
    analysis = started(make_rules([Guard(metric="invalid_output", limit=1.0)], assignment=Assignment.KEY))
    run(analysis, iter([Outcome(canary=True, weight=0.1, key=1)] * 500))
    assert analysis.verdict().wanting[0].have == 1
    assert explain(analysis.verdict()) == "Inconclusive: invalid_output 1 of about 59 requests."


def test_the_minimum_merges_from_parts():
    analysis = started(make_rules([Guard(metric="invalid_output", limit=1.0)]))
    for _ in range(2):
        part = analysis.part()
        run(part, iter([Outcome(canary=True, weight=0.1)] * 30))
        analysis.merge(part)
    assert analysis.verdict().kind is Kind.ADVANCE


@pytest.mark.parametrize("weight", [math.nextafter(1.0, 0.0), 1.0 - 1e-12, 5e-324, 1e-12])
def test_a_weight_next_to_0_or_1_compares_nothing(weight: float):
    analysis = started()
    for canary in (True, False):
        analysis.observe(Outcome(canary=canary, weight=weight, failed=True, invalid=True))
        analysis.observe(Outcome(canary=canary, weight=weight, latency_s=1.0))
    assert [item.canary_units + item.control_units for item in analysis.verdict().evidence] == [0, 0, 2, 0]


@pytest.mark.parametrize("weight", [1e-9, 1.0 - 1e-9])
@pytest.mark.parametrize("limit", [1e-6, 1.0, 1e6])
def test_the_least_weights_that_compare_have_finite_answers(weight: float, limit: float):
    rules = make_rules([Guard(metric="error_rate", limit=limit), Guard(metric="latency", limit=limit)])
    analysis = started(rules)
    for canary in (True, False):
        analysis.observe(Outcome(canary=canary, weight=weight, failed=True))
        analysis.observe(Outcome(canary=canary, weight=weight, latency_s=1.0))
    assert math.isfinite(analysis.log_e)
    assert analysis.verdict().kind in Kind


def test_thousands_of_steps_have_an_answer():
    """Each stakes half of what is left of the reserve; when next to nothing is left, steps get no test of their own."""
    analysis = started(make_rules([Guard(metric="error_rate", limit=1.0)]))
    for step in range(3000):
        analysis.observe(Outcome(canary=step % 10 == 0, weight=0.1, failed=True))
        analysis.begin_step()
    assert math.isfinite(analysis.log_e)
    assert analysis.verdict().kind is Kind.ADVANCE
    assert load(dump(analysis)) == analysis


def test_a_canary_that_turns_bad_in_a_later_step_is_found_sooner_for_the_new_step():
    def failures_until_stopped(begins: bool) -> int:
        analysis = started()
        run(analysis, traffic(1, 30_000, failing=0.03))
        if begins:
            analysis.begin_step()
        before = sum((item.canary_units + item.control_units) for item in analysis.verdict().evidence[:1])
        run(analysis, traffic(2, 30_000, failing=0.03, ratio=10.0))
        assert analysis.stopped_by == "error_rate"
        return sum((item.canary_units + item.control_units) for item in analysis.verdict().evidence[:1]) - before

    assert failures_until_stopped(begins=True) < 0.6 * failures_until_stopped(begins=False)


def test_many_steps_spend_no_more_than_the_reserve():
    """Starting a step moves capital about; it makes none."""
    analysis = started()
    for _ in range(50):
        run(analysis, traffic(1, 40, failing=0.1))
        before = analysis.log_e
        analysis.begin_step(thresholds())
        assert analysis.log_e == pytest.approx(before, abs=1e-9)


outcomes = st.builds(
    Outcome,
    canary=st.booleans(),
    weight=st.sampled_from([0.05, 0.1, 0.5, 0.0, 1.0, math.nan]),
    failed=st.booleans(),
    invalid=st.booleans(),
    latency_s=st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
    key=st.one_of(st.none(), st.integers(0, 2**64 - 1)),
)


@settings(max_examples=60)
@given(st.lists(outcomes, max_size=60), st.sampled_from([REQUEST, STICKY]))
def test_whatever_comes_the_answer_is_defined_and_survives_its_json(stream: list[Outcome], rules: Rules):
    analysis = started(rules)
    for place, outcome in enumerate(stream):
        if place == 30:
            analysis.begin_step()
            analysis = load(dump(analysis))
        analysis.observe(outcome)
    again = load(dump(analysis))
    assert again == analysis
    assert again.verdict() == analysis.verdict()
    assert math.isfinite(analysis.log_e)
    assert all(0 <= item.p_value <= 1 for item in analysis.verdict().evidence)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_without_a_second_arm_only_objectives_judge(weight: float):
    """No control traffic, or none of the canary: nothing to compare, whatever fails."""
    analysis = started()
    stream = [Outcome(canary=weight == 1.0, weight=weight, failed=True)] * 100
    run(analysis, iter(stream))
    assert analysis.stopped_by == ("slo_error_rate" if weight else "")


def test_the_same_stream_gives_the_same_bits():
    one, two = started(), started()
    for outcome in traffic(7, 2000, ratio=2.0):
        one.observe(outcome)
    for outcome in traffic(7, 2000, ratio=2.0):
        two.observe(outcome)
    assert dump(one) == dump(two)


def test_what_eight_gateways_saw_is_what_one_would_have_seen():
    """Each sends its part once a second; a step begins in the middle."""
    whole, merged = started(), started()
    chance = random.Random(1)
    stream = list(traffic(4, 2000, failing=0.05, ratio=1.5, slowdown=1.05))
    for second in range(0, len(stream), 100):
        if second == 1000:
            whole.begin_step()
            merged.begin_step()
        parts = [merged.part() for _ in range(8)]
        for outcome in stream[second : second + 100]:
            whole.observe(outcome)
            parts[chance.randrange(8)].observe(outcome)
        for part in parts:
            merged.merge(load(dump(part)))
    assert merged.log_e == pytest.approx(whole.log_e, abs=1e-9)
    for mine, theirs in zip(merged.guards, whole.guards, strict=True):
        assert mine.log_e == pytest.approx(theirs.log_e, abs=1e-9)
        if theirs.fresh is not None:
            assert mine.fresh is not None
            assert mine.fresh.wealth.logs == pytest.approx(theirs.fresh.wealth.logs, abs=1e-9)
    assert whole.guards[0].fresh is not None
    units = [[item.canary_units for item in one.verdict().evidence] for one in (merged, whole)]
    assert units[0] == units[1]


def test_under_sticky_routing_a_key_is_counted_in_one_place():
    analysis, disjoint, double = started(STICKY), started(STICKY), started(STICKY)
    for one, key in ((analysis, 1), (disjoint, 2), (double, 1)):
        one.observe(Outcome(canary=True, weight=0.1, failed=True, key=key))
    before = dump(analysis)
    with pytest.raises(ValueError, match="one place"):
        analysis.merge(double)
    with pytest.raises(ValueError, match="does not split"):
        analysis.part()
    with pytest.raises(ValueError, match="different rules"):
        analysis.merge(started(REQUEST))
    assert dump(analysis) == before
    analysis.merge(disjoint)
    assert analysis.verdict().evidence[0].canary_units == 2


def test_a_part_of_the_last_step_still_counts():
    analysis = started()
    late = analysis.part()
    late.observe(Outcome(canary=True, weight=0.1, failed=True))
    analysis.begin_step(thresholds())
    analysis.merge(late)
    assert analysis.verdict().evidence[0].canary_units == 1


def test_state_is_small():
    analysis = started()
    run(analysis, traffic(1, 5000))
    assert len(dump(analysis)) < 8192
