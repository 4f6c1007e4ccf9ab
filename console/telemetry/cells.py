"""A cell: the counters of one (model, version) over some seconds, with its sketches packed.

A packed sketch is pairs of (bucket, count), 6 bytes each. Two of them laid end to end are their merge, so adding is
joining bytes, and one `bincount` at the end gives the histogram that any quantile is read from. That keeps an hour of
seconds small in memory and an hour's percentile at some milliseconds.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np
from msgspec import Struct, field

from inference import sketch
from inference.status import Series

PAIR = struct.Struct("<HI")
PAIRS = np.dtype([("bucket", "<u2"), ("count", "<u4")])
BUCKETS = sketch.bucket_of(sketch.LARGEST_S) + 1
MAX_COUNT = 2**32 - 1
# Past this many bytes a cell is folded to one pair a bucket: 40 gateways must not make it 40 times as large.
FOLD_BYTES = 2 * sketch.MAX_BINS * PAIR.size
MAX_CODES = 64

Histogram = np.ndarray


class Cell(Struct):
    requests: int = 0
    ok: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    batches: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    compute_ns: int = 0
    latency: bytes = b""
    queue: bytes = b""

    @classmethod
    def of(cls, series: Series) -> Self:
        """From what a gateway reported."""
        return cls(
            requests=series.requests,
            ok=series.ok,
            errors=dict(series.errors),
            rows=series.rows,
            batches=series.batches,
            cache_hits=series.cache_hits,
            cache_misses=series.cache_misses,
            compute_ns=series.compute_ns,
            latency=pack(series.latency),
            queue=pack(series.queue),
        )

    def add(self, other: "Cell") -> None:
        self.requests += other.requests
        self.ok += other.ok
        self.rows += other.rows
        self.batches += other.batches
        self.cache_hits += other.cache_hits
        self.cache_misses += other.cache_misses
        self.compute_ns += other.compute_ns
        for code, count in other.errors.items():
            known = code if code in self.errors or len(self.errors) < MAX_CODES else "other"
            self.errors[known] = self.errors.get(known, 0) + count
        self.latency = join(self.latency, other.latency)
        self.queue = join(self.queue, other.queue)

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


def pack(bins: Mapping[int, int]) -> bytes:
    """Buckets out of range, which no gateway of ours sends, count at the nearer end."""
    return b"".join(
        PAIR.pack(min(max(bucket, 0), BUCKETS - 1), min(count, MAX_COUNT))
        for bucket, count in bins.items()
        if count > 0
    )


def join(one: bytes, other: bytes) -> bytes:
    both = one + other
    return fold(both) if len(both) > FOLD_BYTES else both


def fold(packed: bytes) -> bytes:
    """The same sketch with one pair a bucket, at most `sketch.MAX_BINS` of them: the lowest are folded together."""
    counts = histogram((packed,))
    used = np.flatnonzero(counts)
    if len(used) > sketch.MAX_BINS:
        cut = used[-sketch.MAX_BINS]
        counts[cut] += counts[:cut].sum()
        used = used[-sketch.MAX_BINS :]
    pairs = np.empty(len(used), PAIRS)
    pairs["bucket"], pairs["count"] = used, np.minimum(counts[used], MAX_COUNT)
    return pairs.tobytes()


def histogram(packed: Iterable[bytes]) -> Histogram:
    """Counts by bucket over all of them."""
    pairs = np.frombuffer(b"".join(packed), PAIRS)
    return np.bincount(pairs["bucket"], weights=pairs["count"], minlength=BUCKETS).astype(np.int64)


def quantiles_ms(packed: Iterable[bytes], wanted: Iterable[float]) -> list[float | None]:
    """Milliseconds at each quantile (nearest rank), None where nothing was measured."""
    cumulated = histogram(packed).cumsum()
    total = int(cumulated[-1])
    if not total:
        return [None for _ in wanted]
    ranks = [max(1, math.ceil(q * total)) for q in wanted]
    return [sketch.value_of(int(bucket)) * 1e3 for bucket in np.searchsorted(cumulated, ranks)]
