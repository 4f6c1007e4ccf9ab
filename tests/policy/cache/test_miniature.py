"""Miniatures hit about as often as the whole strategy would at each size."""

import random

import pytest

from inference.policy.cache.miniature import MOST_KEYS, MiniatureCurve
from inference.policy.cache.registry import STRATEGIES
from inference.policy.cache.shadow import Shadow


def zipf(requests: int, keys: int) -> list[int]:
    chance = random.Random(7)
    weights = [1 / rank**0.7 for rank in range(1, keys + 1)]
    return chance.choices(range(keys), weights, k=requests)


@pytest.mark.parametrize("name", ["lru", "s3fifo", "wtinylfu"])
def test_each_point_is_near_the_real_one(name: str) -> None:
    keys, capacity = zipf(40_000, 20_000), 1000
    curve = MiniatureCurve(STRATEGIES[name], capacity, (0.5, 1.0, 4.0))
    for key in keys:
        curve.observe(key)
    for size, ratio in curve.points():
        assert ratio == pytest.approx(Shadow(STRATEGIES[name]()).replay(keys, size) / len(keys), abs=0.04)


def test_a_small_cache_is_simulated_whole() -> None:
    keys = zipf(5000, 300)
    curve = MiniatureCurve(STRATEGIES["arc"], 50)
    for key in keys:
        curve.observe(key)
    real = {size: Shadow(STRATEGIES["arc"]()).replay(keys, size) / len(keys) for size in curve.sizes}
    assert dict(curve.points()) == pytest.approx(real)


def test_between_sizes_it_lies_between_and_beyond_it_is_flat() -> None:
    curve = MiniatureCurve(STRATEGIES["lru"], 100)
    for key in zipf(5000, 300):
        curve.observe(key)
    ratios = [curve.hit_ratio(size) for size in (0, 1, 50, 60, 100, 173, 400, 10**6)]
    assert ratios == sorted(ratios)
    assert ratios[0] == 0.0
    assert ratios[-1] == ratios[-2]


def test_miniatures_stay_small_however_large_the_cache() -> None:
    curve = MiniatureCurve(STRATEGIES["lru"], 1_000_000)
    assert curve.sizes[-1] / curve.one_in <= MOST_KEYS
    assert curve.hit_ratio(1000) == 0.0  # nothing was asked for yet


def test_there_is_no_curve_around_nothing() -> None:
    with pytest.raises(ValueError, match="around 0 entries"):
        MiniatureCurve(STRATEGIES["lru"], 0)
