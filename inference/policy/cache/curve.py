"""How often LRU would miss at any size, learnt on the way, in less than a megabyte.

A request hits in LRU if fewer distinct keys than the cache holds were asked for since the key's last request: its reuse
distance (Mattson et al., 1970). SHARDS (Waldspurger et al., FAST 2015) counts distances among sampled keys only and
divides by the rate. One rate cannot serve all sizes: what resolves a cache of a million keys says nothing of one of a
hundred. So there are levels. Each has a quarter of the rate of the one below and remembers as many keys; it speaks for
sizes that the level below cannot reach, and starts from what that one found. With one key too popular to be left to
chance, and in or out of the sample, only the lowest level would notice, and that one has every key.

Reuse distances of a whole batch are found at once, with arrays: no Python runs for each key.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

LEVELS = 9
REMEMBERED = 4096  # keys of each level's sample: the last different ones
BATCH = 2048  # requests of its sample that a level looks at together
STEP_BITS = 2  # each level samples a quarter of the one below; nine levels reach 268 million keys
ODD = np.uint64(0x9E3779B97F4A7C15)
LOW_64 = 2**64 - 1


class LruCurve:
    """Owned by whoever tells it of every request, hit or miss. 0.4 µs a request, most of it once in a `BATCH`."""

    def __init__(self) -> None:
        self.requests = 0.0
        self.waiting: list[int] = []
        self.levels = [Level() for _ in range(LEVELS)]

    def observe(self, key: int) -> None:
        self.waiting.append(key)
        if len(self.waiting) >= BATCH:
            self.sort_out()

    def sort_out(self) -> None:
        """Give what waits to the levels whose sample it is in."""
        self.requests += len(self.waiting)
        # Longer keys are digests, of which 64 bits tell one from the other; hash() would take -1 for -2.
        keys = np.array([key & LOW_64 for key in self.waiting], dtype=np.uint64)
        self.waiting.clear()
        # Two rounds, for the low bits of a product depend on the low bits of the key alone.
        mixed = keys * ODD
        mixed = (mixed ^ mixed >> np.uint64(32)) * ODD
        self.levels[0].observe(mixed)
        for level in self.levels[1:]:
            # The top bits choose, and are shifted out, so that each level has fresh ones.
            mixed = mixed[mixed >> np.uint64(64 - STEP_BITS) == 0]
            if not len(mixed):
                break
            mixed = mixed << np.uint64(STEP_BITS)
            level.observe(mixed)

    def miss_ratios(self, sizes: Sequence[float]) -> list[float]:
        """For each size in keys: in [0, 1], never rising with size. 1.0 for size 0, and while nothing was asked for."""
        self.sort_out()
        if not self.requests:
            return [1.0] * len(sizes)
        wanted = np.asarray(sizes, dtype=np.float64)
        hits = np.zeros(len(wanted))
        reached = found = 0.0
        for number, level in enumerate(self.levels):
            keys_each = float(1 << STEP_BITS * number)
            upto = np.cumsum(level.count()) * keys_each  # hits of caches of 1, 2, 3 … keys of this level's sample
            held = np.arange(1.0, len(upto) + 1) * keys_each
            start = found - np.interp(reached, held, upto, left=0.0)
            above = wanted > reached
            hits[above] = start + np.interp(wanted[above], held, upto, left=0.0)
            reached, found = held[-1], start + upto[-1]
        return [float(ratio) for ratio in 1.0 - np.clip(hits / self.requests, 0.0, 1.0)]

    def forget(self, share: float) -> None:
        """Let all that was counted so far weigh less by `share`, in [0, 1], against what comes."""
        self.sort_out()
        self.requests *= 1.0 - share
        for level in self.levels:
            level.counts = level.count() * (1.0 - share)


class Level:
    """Reuse distances in one sample, as far as `REMEMBERED` keys reach."""

    def __init__(self) -> None:
        self.recent: Keys = np.empty(0, dtype=np.uint64)  # different ones, the one asked for last at the end
        self.counts = np.zeros(REMEMBERED)  # of requests, by distance
        self.waiting: list[Keys] = []

    def observe(self, keys: Keys) -> None:
        self.waiting.append(keys)
        if sum(map(len, self.waiting)) >= BATCH:
            self.count()

    def count(self) -> NDArray[np.float64]:
        if self.waiting:
            distances, recent = reuse_distances(self.recent, np.concatenate(self.waiting))
            self.waiting.clear()
            self.recent = recent[-REMEMBERED:]
            near = distances[(distances >= 0) & (distances < REMEMBERED)]
            self.counts += np.bincount(near, minlength=REMEMBERED)
        return self.counts


def reuse_distances(recent: Keys, batch: Keys) -> tuple[NDArray[np.int64], Keys]:
    """For each of `batch` [n] how many other keys came since it was last asked for, -1 where it is new; and `recent`
    as it is afterwards, different keys, the last one last. `recent` are the different keys before the batch.

    Where the last request for the key of i was at p(i), those in between that are not repeated in between are the j
    with p(j) < p(i) < j < i. All j up to p(i) have p(j) < p(i), so it is enough to count the j < i with p(j) < p(i).
    """
    start, asked = len(recent), np.concatenate([recent, batch])
    order = np.argsort(asked, kind="stable")
    same = asked[order[1:]] == asked[order[:-1]]
    before = np.full(len(asked), -1, dtype=np.int64)
    before[order[1:][same]] = order[:-1][same]
    is_last = np.append(~same, True)
    left = asked[np.sort(order[is_last])]
    before = before[start:]
    distances = start + count_smaller_earlier(before) - (before + 1)
    return np.where(before >= 0, distances, -1), left


def count_smaller_earlier(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each i how many j < i have values[j] < values[i], where values differ; equal ones may count or not.

    Positions in the order of their values are split by one bit after another, the highest first. At each bit those that
    have it set come later than all those of their group that have not, and count the ones of smaller value among them.
    """
    n = len(values)
    bits = max(1, (n - 1).bit_length())
    places = np.concatenate([np.argsort(values, kind="stable"), np.arange(n, 1 << bits)])
    found = np.zeros(1 << bits, dtype=np.int64)
    for bit in reversed(range(bits)):
        groups = places.reshape(-1, 2 << bit)
        late = (groups >> bit & 1).astype(np.bool_)
        found[groups[late]] += np.cumsum(~late, axis=1)[late]
        halves = groups[~late].reshape(-1, 1 << bit), groups[late].reshape(-1, 1 << bit)
        places = np.concatenate(halves, axis=1).ravel()
    return found[:n]
