"""How far the sampled miss-ratio curve is from LRU's own, and what it costs in memory and time."""

import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass

from inference.policy.cache.curve import LruCurve

SIZES = 100  # evenly spread up to the number of different keys
TRACED = 50_000  # requests while memory is traced, which is slow


@dataclass(frozen=True)
class CurveFigures:
    distinct: int
    mean_error: float
    max_error: float
    held_bytes: int
    request_ns: float


def measure_curve(keys: Sequence[int]) -> CurveFigures:
    """Raises ValueError without any requests."""
    if not keys:
        raise ValueError("There is no curve of no requests; give a trace that has some.")
    distinct = len(set(keys))
    sizes = [max(1, distinct * part // SIZES) for part in range(1, SIZES + 1)]
    curve, started = LruCurve(), time.process_time_ns()
    for key in keys:
        curve.observe(key)
    found = curve.miss_ratios(sizes)
    spent_ns = time.process_time_ns() - started
    errors = [abs(one - other) for one, other in zip(found, exact_miss_ratios(keys, sizes), strict=True)]
    return CurveFigures(distinct, sum(errors) / SIZES, max(errors), held_by(keys[:TRACED]), spent_ns / len(keys))


def held_by(keys: Sequence[int]) -> int:
    tracemalloc.start()
    curve = LruCurve()
    for key in keys:
        curve.observe(key)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held


def exact_miss_ratios(keys: Sequence[int], sizes: Sequence[int]) -> list[float]:
    """LRU's own by Mattson's reuse distances, each counted in a Fenwick tree over the last time of every key."""
    tree = [0] * (len(keys) + 1)
    last: dict[int, int] = {}
    counts = [0] * (len(keys) + 1)
    for now, key in enumerate(keys, 1):
        if before := last.get(key):
            counts[sum_upto(tree, now - 1) - sum_upto(tree, before)] += 1
            add(tree, before, -1)
        add(tree, now, 1)
        last[key] = now
    hits, ratios, at = 0, {}, 0
    for size in sorted(set(sizes)):
        hits += sum(counts[at:size])
        ratios[size], at = 1.0 - hits / len(keys), size
    return [ratios[size] for size in sizes]


def add(tree: list[int], place: int, value: int) -> None:
    while place < len(tree):
        tree[place] += value
        place += place & -place


def sum_upto(tree: list[int], place: int) -> int:
    total = 0
    while place:
        total += tree[place]
        place &= place - 1
    return total
