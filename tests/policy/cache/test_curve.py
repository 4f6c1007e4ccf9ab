"""The curve is LRU's own for small sizes, and within a point of it for all."""

import random
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.policy.cache.curve import BATCH, REMEMBERED, LruCurve
from inference.policy.cache.lru import Lru
from inference.policy.cache.shadow import Shadow


def miss_ratio(keys: Sequence[int], size: int) -> float:
    return 1.0 - Shadow(Lru()).replay(keys, size) / len(keys)


def observed(keys: Sequence[int]) -> LruCurve:
    curve = LruCurve()
    for key in keys:
        curve.observe(key)
    return curve


@settings(max_examples=60, deadline=None)
@given(keys=st.lists(st.integers(-3, 40), min_size=1, max_size=300))
def test_it_is_exact_where_few_keys_are_between(keys: list[int]) -> None:
    sizes = [0, 1, 2, 3, 7, 20, 60]
    assert observed(keys).miss_ratios(sizes) == pytest.approx([miss_ratio(keys, size) for size in sizes])


def test_it_is_exact_across_batches() -> None:
    chance = random.Random(3)
    keys = [int(chance.expovariate(0.005)) for _ in range(3 * BATCH + 17)]
    sizes = [1, 10, 100, 300, REMEMBERED]
    assert observed(keys).miss_ratios(sizes) == pytest.approx([miss_ratio(keys, size) for size in sizes])


def test_it_is_within_a_point_at_a_hundred_sizes_in_less_than_a_megabyte() -> None:
    """With one key in five requests, which a sample has or has not, and reuse too far away for the lowest level."""
    chance = random.Random(4)
    keys = [0 if chance.random() < 0.2 else int(chance.paretovariate(0.35)) % 60_000 for _ in range(120_000)]
    curve = LruCurve()
    tracemalloc.start()
    for key in keys:
        curve.observe(key)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 1_000_000
    distinct = len(set(keys))
    sizes = [distinct * part // 100 for part in range(1, 101)]
    found = curve.miss_ratios(sizes)
    errors = [abs(found[part] - miss_ratio(keys, sizes[part])) for part in range(4, 100, 19)]
    assert max(errors) < 0.01


@settings(max_examples=30, deadline=None)
@given(keys=st.lists(st.integers(), max_size=200), sizes=st.lists(st.floats(0, 1e9), max_size=20))
def test_it_never_rises_and_stays_a_share(keys: list[int], sizes: list[float]) -> None:
    ratios = observed(keys).miss_ratios(sorted(sizes))
    assert all(0.0 <= ratio <= 1.0 for ratio in ratios)
    assert ratios == sorted(ratios, reverse=True)


def test_nothing_asked_for_is_nothing_hit() -> None:
    assert LruCurve().miss_ratios([0, 10]) == [1.0, 1.0]


def test_what_was_long_ago_can_be_forgotten() -> None:
    curve = observed([1] * 5000)
    curve.forget(1.0)
    for key in range(5000):
        curve.observe(key + 10)
    assert curve.miss_ratios([100]) == [1.0]
