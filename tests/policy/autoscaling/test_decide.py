import itertools
from math import inf, nan
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from inference.policy.autoscaling.decide import Autoscaler
from inference.policy.autoscaling.explain import explain
from inference.policy.autoscaling.load import Decision, Load, Rule
from inference.spec import ScalePolicy, ScaleSignal


def policy(signal: ScaleSignal = ScaleSignal.PREDICTIVE, **fields: object) -> ScalePolicy:
    return ScalePolicy(**({"min_replicas": 1, "max_replicas": 50, "signal": signal, "slots": 4} | fields))


def load(replicas: int, here: float, arrivals: int = 5, **fields: object) -> Load:
    given_fields = {
        "ready": replicas, "concurrency": here, "peak": here + 2, "arrivals": arrivals, "finished": arrivals,
        "service_s": arrivals * 4.0,
    }  # fmt: skip
    return Load(**(given_fields | fields))


def run(scaler: Autoscaler, here: float, seconds: int, from_s: float, replicas: int) -> int:
    """A driver that does at once what it is told."""
    for second in range(seconds):
        replicas = scaler.decide(load(replicas, here), from_s + second).replicas
    return replicas


def rules(decision: Decision) -> list[Rule]:
    return [step.rule for step in decision.steps]


def test_a_fixed_policy_always_answers_its_number() -> None:
    scaler = Autoscaler(policy(ScaleSignal.FIXED, min_replicas=3))
    assert scaler.decide(load(1, 500.0), 0.0).replicas == 3


def test_it_grows_with_the_load_and_shrinks_after_it() -> None:
    scaler = Autoscaler(policy())
    small = run(scaler, 8.0, 400, 0.0, 3)
    large = run(scaler, 60.0, 400, 400.0, small)
    again = run(scaler, 8.0, 900, 800.0, large)
    assert 3 <= small < 6
    assert 15 <= large < 25
    assert again < large / 2


@pytest.mark.parametrize(
    "signal, reading, expected",
    [
        (ScaleSignal.CONCURRENCY, {"concurrency": 28.0}, 10),
        (ScaleSignal.BUSY, {"busy": 0.7}, 5),
        (ScaleSignal.BUSY, {"busy": 0.75}, 5),  # within the tolerance
        (ScaleSignal.BUSY, {"busy": 0.98}, 7),
        (ScaleSignal.GPU, {"gpu": 0.9}, 7),
        (ScaleSignal.GPU, {"gpu": 1.0, "waiting": 20}, 15),  # saturated: what waits says how much is missing
        (ScaleSignal.GPU, {"gpu": None}, 5),
        (ScaleSignal.QUEUE_WAIT, {"oldest_wait_s": 1.4, "waiting": 3}, 10),
        (ScaleSignal.QUEUE_WAIT, {"oldest_wait_s": 900.0, "waiting": 3}, 20),  # at most four times at once
    ],
)
def test_a_signal_is_brought_to_its_target(signal: ScaleSignal, reading: dict[str, object], expected: int) -> None:
    scaler = Autoscaler(policy(signal, wait_s=1.0, target=0.7))
    decision = scaler.decide(load(5, 18.0, **reading), 0.0)
    assert decision.replicas == expected


def test_replicas_that_are_starting_are_not_asked_for_again() -> None:
    scaler = Autoscaler(policy(ScaleSignal.BUSY))
    assert scaler.decide(load(4, 16.0, starting=3, busy=1.0), 0.0).replicas == 7


def test_down_comes_only_after_less_was_enough_for_a_while() -> None:
    scaler = Autoscaler(policy(ScaleSignal.CONCURRENCY, down_after_s=100.0))
    scaler.decide(load(10, 28.0), 0.0)
    for second in range(1, 100):
        assert scaler.decide(load(10, 7.0), float(second)).replicas == 10
    assert scaler.decide(load(10, 7.0), 101.0).replicas == 3


def test_the_number_turns_at_most_once_a_cold_start() -> None:
    scaler, replicas, numbers = Autoscaler(policy(ScaleSignal.CONCURRENCY, down_after_s=0.0)), 5, []
    for second in range(600):
        swinging = 28.0 if second % 14 < 7 else 10.0
        replicas = scaler.decide(load(replicas, swinging), float(second)).replicas
        numbers.append(replicas)
    changes = [(at, b > a) for at, (a, b) in enumerate(itertools.pairwise(numbers)) if a != b]
    turns = [at for (_, was), (at, now) in itertools.pairwise(changes) if was != now]
    assert turns
    assert all(b - a >= 30 for a, b in itertools.pairwise(turns))


def test_a_burst_that_waits_too_long_is_answered_before_the_level_knows() -> None:
    scaler = Autoscaler(policy())
    replicas = run(scaler, 8.0, 300, 0.0, 4)
    for second in range(4):
        burst = load(replicas, 40.0 + 40 * second, 50, waiting=30 + 40 * second, oldest_wait_s=0.5 + second)
        decision = scaler.decide(burst, 300.0 + second)
    assert Rule.BURST in rules(decision) or decision.replicas > 30
    assert decision.replicas > 25


def test_to_zero_after_nobody_came_and_back_when_somebody_does() -> None:
    scaler = Autoscaler(policy(min_replicas=0, idle_s=120.0))
    replicas = run(scaler, 2.0, 200, 0.0, 1)
    silent = Load(ready=replicas)
    numbers = [scaler.decide(silent, 200.0 + second).replicas for second in range(400)]
    assert numbers[0] >= 1
    assert numbers[-1] == 0
    assert scaler.decide(Load(), 700.0).replicas == 0
    woken = scaler.decide(Load(arrivals=1, waiting=1, concurrency=0.5, peak=1.0), 701.0)
    assert woken.replicas >= 1


def test_one_replica_stays_where_the_policy_says_so() -> None:
    scaler = Autoscaler(policy(min_replicas=1, idle_s=10.0))
    assert [scaler.decide(Load(ready=1), float(second)).replicas for second in range(300)][-1] == 1


def test_spare_replicas_come_on_top_and_bounds_hold() -> None:
    plain = Autoscaler(policy(ScaleSignal.CONCURRENCY)).decide(load(3, 14.0), 0.0)
    spare = Autoscaler(policy(ScaleSignal.CONCURRENCY, spare_replicas=2)).decide(load(3, 14.0), 0.0)
    bound = Autoscaler(policy(ScaleSignal.CONCURRENCY, max_replicas=4)).decide(load(3, 140.0), 0.0)
    assert (plain.replicas, spare.replicas, bound.replicas) == (5, 7, 4)
    assert rules(bound) == [Rule.SIGNAL, Rule.BOUNDS]


def test_a_clock_that_stands_still_or_goes_back_changes_nothing() -> None:
    scaler = Autoscaler(policy(ScaleSignal.CONCURRENCY))
    scaler.decide(load(5, 14.0), 100.0)
    for now_s in (100.0, 50.0, nan, inf):
        decision = scaler.decide(load(5, 500.0), now_s)
        assert (decision.replicas, rules(decision)) == (5, [Rule.UNKNOWN])


@pytest.mark.parametrize("signal", ScaleSignal)
def test_readings_at_the_ends_of_what_a_float_can_hold_ask_for_no_infinity(signal: ScaleSignal) -> None:
    """What CI once found: figures that are sound one by one, and infinite when one is divided by another."""
    scaler = Autoscaler(policy(signal))
    for now_s, small, large in [(1.0, 5e-324, 1e12), (2.0, 1e12, 5e-324), (2.0 + 1e-9, 1.0, 1.0), (3.0, 1e308, 1e308)]:
        decision = scaler.decide(
            load(0, large, 10_000, starting=1, waiting=9000, oldest_wait_s=large, service_s=small, cold_start_s=small),
            now_s,
        )
        assert 1 <= decision.replicas <= 50
    assert rules(decision) == [Rule.UNKNOWN]


numbers = st.one_of(st.floats(), st.floats(0, 1e12), st.sampled_from([0.0, nan, inf, -1.0, 1e308, 1e12, 5e-324, 1e-9]))
loads = st.builds(
    Load, ready=st.integers(-1, 60), starting=st.integers(-1, 20), concurrency=numbers, peak=numbers,
    waiting=st.integers(-1, 10_000), late=st.integers(-1, 10_000), oldest_wait_s=numbers,
    arrivals=st.integers(-1, 10_000), finished=st.integers(-1, 10_000), service_s=numbers, busy=st.none() | numbers,
    gpu=st.none() | numbers, cold_start_s=numbers,
)  # fmt: skip


@given(
    signal=st.sampled_from(ScaleSignal), least=st.integers(0, 3), most=st.integers(1, 40),
    steps=st.lists(st.tuples(loads, st.one_of(st.floats(0, 1e6), st.sampled_from([nan, -5.0, 1e300]))), max_size=12),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_whatever_it_reads_the_answer_is_within_bounds_explained_and_the_same_again(
    signal: ScaleSignal, least: int, most: int, steps: list[tuple[Load, float]]
) -> None:
    rule = policy(signal, min_replicas=min(least, most), max_replicas=most)
    first, second = Autoscaler(rule), Autoscaler(rule)
    for given_load, now_s in steps:
        decision = first.decide(given_load, now_s)
        assert rule.min_replicas <= decision.replicas <= rule.max_replicas
        assert decision == second.decide(given_load, now_s)
        assert decision.steps[-1].replicas == decision.replicas
        assert len(explain(decision)) == len(decision.steps)


def test_why_five_is_said_in_figures_and_in_words() -> None:
    scaler = Autoscaler(policy(max_replicas=5))
    for second in range(300):
        decision = scaler.decide(load(5, 40.0), float(second))
    assert rules(decision) == [Rule.SIGNAL, Rule.BOUNDS]
    assert decision.steps[0].facts["level"] == pytest.approx(40.0)
    said = explain(decision)
    assert "40 requests are here on average" in said[0]
    assert said[1] == "5 replicas: the policy allows 1 to 5."


def test_a_new_start_drops_nothing_before_it_has_watched() -> None:
    scaler = Autoscaler(policy(down_after_s=90.0))
    numbers = [scaler.decide(load(20, 8.0), float(second)).replicas for second in range(120)]
    assert set(numbers[:90]) == {20}
    assert numbers[-1] < 20


def test_where_more_are_late_than_expected_the_same_load_needs_more() -> None:
    """A line in which nobody makes way: the controller is told of late requests that the played line has not."""
    chance = Random(3)
    loads = [load(8, here := chance.gauss(20, 4), peak=here + chance.random() * 6) for _ in range(1200)]
    kept, broken = Autoscaler(policy()), Autoscaler(policy())
    for second, each in enumerate(loads):
        calm = kept.decide(each, float(second))
        late = broken.decide(structs.replace(each, late=1), float(second))
    assert late.steps[0].facts["share"] < 0.3 * float(calm.steps[0].facts["share"])
    assert late.steps[0].facts["slots"] > calm.steps[0].facts["slots"]
