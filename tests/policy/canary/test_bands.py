import bisect
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.policy.canary.bands import dkw_constant, dkw_radius, quantile_interval, rank_radius, ratio_interval
from inference.sketch import Bins, add


@pytest.mark.parametrize("alpha, constant", [(0.05, 8.123), (0.025, 8.623), (0.01, 9.284), (0.005, 9.783)])
def test_the_constant_is_the_published_one(alpha: float, constant: float):
    assert dkw_constant(alpha) == pytest.approx(constant, abs=0.001)


def test_a_band_is_left_at_no_time():
    """40 streams of 1,500 uniform values, looked at after each 10: none of them may leave a 5 % band."""
    left = 0
    for seed in range(40):
        chance, values, out = random.Random(seed), [], False
        for count in range(1, 1501):
            bisect.insort(values, chance.random())
            if count % 10 == 0:
                far = max(max((i + 1) / count - v, v - i / count) for i, v in enumerate(values))
                out |= far > dkw_radius(count)
        left += out
    assert left <= 2


@given(st.integers(0, 10**9), st.floats(0, 1), st.floats(0.001, 0.5))
def test_radii_are_shares_and_shrink(count: int, quantile: float, alpha: float):
    for radius in (lambda n: dkw_radius(n, alpha), lambda n: rank_radius(n, quantile, alpha)):
        assert 0 < radius(count) <= 1
        assert radius(4 * count + 4) <= radius(count)


def test_a_quantile_lies_in_its_interval_at_every_look():
    chance, bins = random.Random(3), Bins()
    for count in range(1, 3001):
        add(bins, chance.random())
        if count % 100 == 0:
            low, high = quantile_interval(bins, 0.9)
            assert low <= 0.9 * 1.01
            assert high >= 0.9 * 0.99
    assert high - low < 0.25


def test_an_empty_sketch_says_nothing():
    assert quantile_interval({}, 0.5) == (0.0, math.inf)
    assert dkw_radius(0) == rank_radius(0, 0.5) == 1.0


@given(st.integers(0, 200), st.integers(0, 2000), st.floats(0.01, 0.99))
def test_the_failure_ratio_seen_lies_in_its_interval(canary: int, control: int, weight: float):
    low, high = ratio_interval(canary, control, weight)
    assert 0 <= low <= high
    if canary and control:
        seen = canary / control * (1 - weight) / weight
        assert low < seen < high < math.inf
        tighter = ratio_interval(canary * 4, control * 4, weight)
        assert tighter[1] - tighter[0] < high - low


@pytest.mark.parametrize("canary, control, weight", [(0, 0, 0.1), (5, 5, 0.0), (5, 5, 1.0), (5, 5, math.nan)])
def test_a_ratio_that_nothing_is_known_of(canary: int, control: int, weight: float):
    assert ratio_interval(canary, control, weight) == (0.0, math.inf)


@pytest.mark.parametrize(
    "canary, control, weight, alpha",
    [(10**8, 1, 0.5, 0.05), (10**17, 1, 0.5, 0.05), (1, 10**18, 0.5, 0.05), (5, 1, 0.5, 1e-30), (1, 1, 5e-324, 0.05)],
)
def test_an_interval_that_a_float_cannot_hold_ends_at_infinity(canary: int, control: int, weight: float, alpha: float):
    low, high = ratio_interval(canary, control, weight, alpha)
    assert 0.0 < low <= high
    assert high >= canary / control or high == pytest.approx(canary / control)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_alpha_is_a_chance(alpha: float):
    with pytest.raises(ValueError, match="alpha"):
        dkw_constant(alpha)
    with pytest.raises(ValueError, match="alpha"):
        rank_radius(9, 0.5, alpha)
    with pytest.raises(ValueError, match="alpha"):
        ratio_interval(1, 1, 0.1, alpha)
