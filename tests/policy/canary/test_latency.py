"""The test for latency: a fair game whatever the load does, a losing one where the canary is no slower."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.policy.canary.latency import gains_of, latency_test, shares_of
from inference.policy.canary.thresholds import QUANTILES, Thresholds, freeze, freeze_sketch
from inference.sketch import Bins, add

falling = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=7, unique_by=lambda share: round(share, 3)).map(
    lambda shares: tuple(sorted(shares, reverse=True))
)
weights = st.floats(0.001, 0.999)
distributions = st.lists(st.floats(0.01, 1), min_size=8, max_size=8)


def lognormal(count: int, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.lognormvariate(0, 0.5) for _ in range(count)]


def frozen() -> Thresholds:
    found = freeze(lognormal(2000))
    assert found is not None
    return found


@given(falling, weights, st.booleans())
def test_whichever_bucket_a_latency_lies_in_the_bet_on_its_arm_is_fair(above, weight, slower):
    control, canary = gains_of(weight, above, slower)
    for bucket in range(len(above) + 1):
        for loss, win in zip(control[bucket], canary[bucket], strict=True):
            assert weight * math.exp(win) + (1 - weight) * math.exp(loss) == pytest.approx(1, rel=1e-9)


@given(falling, weights, st.booleans(), distributions, distributions)
def test_a_canary_that_is_no_slower_loses_on_average(above, weight, slower, one, other):
    """Any two distributions over the buckets of which one lies stochastically below the other."""
    buckets = len(above) + 1

    def beyond(shares: list[float]) -> list[float]:
        total = sum(shares[:buckets])
        return [sum(shares[place:buckets]) / total for place in range(buckets)] + [0.0]

    low = [min(pair) for pair in zip(beyond(one), beyond(other), strict=True)]
    high = [max(pair) for pair in zip(beyond(one), beyond(other), strict=True)]
    canary, control = (low, high) if slower else (high, low)
    gains = gains_of(weight, above, slower)
    for cell in range(len(gains[0][0])):
        mean = sum(
            weight * (canary[b] - canary[b + 1]) * math.exp(gains[1][b][cell])
            + (1 - weight) * (control[b] - control[b + 1]) * math.exp(gains[0][b][cell])
            for b in range(buckets)
        )
        assert mean <= 1 + 1e-9


@given(falling, st.booleans())
def test_shares_sum_to_one(above, slower):
    assert sum(math.exp(share) for share in shares_of(above, slower)) == pytest.approx(1)


def play(slowdown: float, seed: int, count: int = 6000, tolerated: float = 1.0) -> int | None:
    """Canary latencies until the wealth reaches 100 (a p-value of 0.01), with a load that swings fourfold."""
    chance, test = random.Random(seed), latency_test(frozen(), tolerated)
    for place in range(count):
        canary = chance.random() < 0.1
        load = 2 ** math.sin(place / 300)
        test.observe(canary, 0.1, chance.lognormvariate(0, 0.5) * load * (slowdown if canary else 1))
        if test.wealth.log_e >= math.log(100):
            return test.canary
    return None


def test_drifting_load_raises_no_alarm_and_hides_no_slowdown():
    assert sum(play(1.0, seed) is not None for seed in range(40)) <= 2
    found = sorted(play(1.5, seed) or 10_000 for seed in range(20))
    assert found[10] < 100


def test_what_is_tolerated_raises_no_alarm():
    assert sum(play(1.2, seed, tolerated=1.2) is not None for seed in range(20)) <= 1


@pytest.mark.parametrize("latency_s, weight", [(math.nan, 0.1), (-1.0, 0.1), (1.0, 0.0), (1.0, 1.0), (1.0, math.nan)])
def test_what_is_no_evidence_is_counted_and_moves_nothing(latency_s: float, weight: float):
    test = latency_test(frozen())
    test.observe(True, weight, latency_s)
    assert (test.skipped, test.canary) == (1, 0)
    assert test.wealth.log_e == pytest.approx(0)


def test_a_request_that_was_given_up_is_slower_than_any():
    test = latency_test(frozen())
    assert test.bucket_of(True, math.inf) == len(test.thresholds.at_s)
    assert test.bucket_of(True, 0.0) == 0
    test.observe(True, 0.1, math.inf)
    assert test.wealth.log_e > 0


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5), st.integers(0, 7)), max_size=50))
def test_parts_merge_to_the_whole(latencies: list[tuple[bool, float, int]]):
    whole, merged = latency_test(frozen()), latency_test(frozen())
    parts = [latency_test(frozen()) for _ in range(8)]
    for canary, latency_s, gateway in latencies:
        whole.observe(canary, 0.1, latency_s)
        parts[gateway].observe(canary, 0.1, latency_s)
    for part in parts:
        merged.merge(part)
    assert merged.wealth.logs == pytest.approx(whole.wealth.logs, abs=1e-9)


def test_tests_of_different_questions_do_not_merge():
    with pytest.raises(ValueError, match="alike"):
        latency_test(frozen()).merge(latency_test(frozen(), slower=False))
    with pytest.raises(ValueError, match="tolerated"):
        latency_test(frozen(), 0.0)


@pytest.mark.parametrize("values", [lognormal(3000, seed=9), [1.0] * 2000])
def test_new_thresholds_keep_the_wealth(values: list[float]):
    test = latency_test(frozen())
    for _ in range(5):
        test.observe(True, 0.1, 3.0)
    before = test.wealth.log_e
    thresholds = freeze(values)
    assert thresholds is not None
    test.refreeze(thresholds)
    test.wealth.settle()
    assert test.wealth.log_e == pytest.approx(before)
    test.observe(True, 0.1, 50.0)
    assert test.wealth.log_e > before


def test_thresholds_of_a_sketch_and_of_its_values_agree():
    values = lognormal(5000)
    bins: Bins = {}
    for value in values:
        add(bins, value)
    exact, sketched = freeze(values), freeze_sketch(bins)
    assert exact is not None
    assert sketched is not None
    assert sketched.at_s == pytest.approx(exact.at_s, rel=0.021)  # a bin is 2 % wide
    assert sketched.above == pytest.approx(exact.above, abs=0.02)
    assert exact.above == pytest.approx([1 - q for q in QUANTILES], abs=0.001)


@pytest.mark.parametrize("values", [[], [1.0] * 999, [math.nan] * 5000, [-1.0] * 5000])
def test_too_few_latencies_freeze_nothing(values: list[float]):
    assert freeze(values) is None
    assert freeze_sketch({}) is None


def test_equal_latencies_are_one_threshold():
    found = freeze([0.25] * 1000)
    assert found is not None
    assert found.at_s == (0.25,)
    assert 0 < found.above[0] < 0.001
    assert found.only(0.99) == found
    with pytest.raises(ValueError, match="at least one"):
        freeze([0.25] * 1000, quantiles=())
