"""Latency sketch: sparse log buckets that merge exactly, after DDSketch (Masson, Rim, Lee; VLDB 2019).

Bucket i holds (gamma**(i-1), gamma**i] microseconds with gamma = 1.01/0.99, so any quantile is within 1 % of the
true value. Values are clamped to 1 µs .. 1 h, which bounds a sketch at about 1,100 buckets; a second of one series
has far fewer. Percentiles are read from merged buckets; nothing anywhere averages percentiles.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

GAMMA = 1.01 / 0.99
LOG_GAMMA = math.log(GAMMA)
SMALLEST_S = 1e-6
LARGEST_S = 3600.0
MAX_BINS = 512
FEW = 32  # values that are added faster one by one

Bins = dict[int, int]


def bucket_of(seconds: float) -> int:
    """Index of the bucket that holds `seconds` (clamped to 1 µs .. 1 h)."""
    clamped = SMALLEST_S if seconds < SMALLEST_S else LARGEST_S if seconds > LARGEST_S else seconds
    return math.ceil(math.log(clamped * 1e6) / LOG_GAMMA)


def value_of(bucket: int) -> float:
    """The value in seconds that stands for a bucket: at most 1 % away from all it holds."""
    return 2.0 * GAMMA**bucket / (GAMMA + 1.0) / 1e6


def add(bins: Bins, seconds: float, count: int = 1) -> None:
    bucket = bucket_of(seconds)
    bins[bucket] = bins.get(bucket, 0) + count


def add_all(bins: Bins, seconds: Sequence[float]) -> None:
    """`add` for many values: a tenth of the cost for each, where they are many."""
    if len(seconds) < FEW:
        for one in seconds:
            add(bins, one)
        return
    clamped = np.clip(np.asarray(seconds, dtype=np.float64), SMALLEST_S, LARGEST_S)
    buckets = np.ceil(np.log(clamped * 1e6) / LOG_GAMMA).astype(np.int64)
    for bucket, count in zip(*(column.tolist() for column in np.unique(buckets, return_counts=True)), strict=True):
        bins[bucket] = bins.get(bucket, 0) + count


def merge(into: Bins, other: Mapping[int, int]) -> None:
    for bucket, count in other.items():
        into[bucket] = into.get(bucket, 0) + count


def bound(bins: Bins, most: int = MAX_BINS) -> Bins:
    """At most `most` buckets, by folding the lowest together: the tail, which people alert on, stays exact."""
    if len(bins) <= most:
        return bins
    ordered = sorted(bins)
    cut = ordered[len(ordered) - most]
    folded = {bucket: bins[bucket] for bucket in ordered if bucket >= cut}
    folded[cut] += sum(bins[bucket] for bucket in ordered if bucket < cut)
    return folded


def quantiles(bins: Mapping[int, int], wanted: Iterable[float]) -> list[float | None]:
    """Seconds at each wanted quantile (0..1, nearest rank); None where the sketch is empty."""
    total = sum(bins.values())
    ordered = sorted(bins)
    answers: list[float | None] = []
    for q in wanted:
        if not total:
            answers.append(None)
            continue
        rank, seen = max(1, math.ceil(q * total)), 0
        for bucket in ordered:
            seen += bins[bucket]
            if seen >= rank:
                answers.append(value_of(bucket))
                break
    return answers
