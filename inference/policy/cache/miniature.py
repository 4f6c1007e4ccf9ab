"""How often any strategy would hit with more or less room: the question that a reuse distance answers for LRU alone.

Miniature simulation (Waldspurger et al., USENIX ATC 2017): the strategy itself runs on a sample of the keys at each of
several sizes, all of them scaled down by the rate. What the console shows as "twice the room would bring".
"""

from collections.abc import Callable, Sequence
from math import log

from inference.policy.cache.shadow import Shadow
from inference.policy.cache.strategy import Strategy

FACTORS = (0.5, 1.0, 2.0)  # of the room there is; few, so that each can be large enough to be right
MOST_KEYS = 1024  # that the largest of the miniatures holds; all of them together 0.4 to 0.9 MB, by strategy
BATCH = 256


class MiniatureCurve:
    """Of one strategy, around `capacity` entries. Owned by whoever tells it of every request, hit or miss.

    Costs a hash a request and a shadow for each size a sampled one. Raises ValueError for a capacity under 1 entry.
    """

    def __init__(self, make: Callable[[], Strategy], capacity: int, factors: Sequence[float] = FACTORS) -> None:
        if capacity < 1:
            raise ValueError(f"A curve was asked for around {capacity} entries; there must be at least 1.")
        self.sizes = sorted({max(1, round(capacity * factor)) for factor in factors})
        self.one_in = -(-self.sizes[-1] // MOST_KEYS)  # keys; needs no power of two, for this rate never changes
        self.shadows = [Shadow(make()) for _ in self.sizes]
        self.hits = [0] * len(self.sizes)
        self.requests = self.replayed = 0
        self.batch: list[int] = []

    def observe(self, key: int) -> None:
        self.requests += 1
        if not hash((key,)) % self.one_in:
            self.batch.append(key)
            if len(self.batch) >= BATCH:
                self.replay()

    def replay(self) -> None:
        for index, size in enumerate(self.sizes):
            self.hits[index] += self.shadows[index].replay(self.batch, max(1, round(size / self.one_in)))
        self.replayed += len(self.batch)
        self.batch.clear()

    def hit_ratio(self, size: float) -> float:
        """At `size` entries; between two miniatures it is drawn straight over the logarithm, beyond them it is flat."""
        self.replay()
        if not self.requests or size <= 0:
            return 0.0
        above = next((index for index, known in enumerate(self.sizes) if known >= size), len(self.sizes) - 1)
        high = self.ratio_of(above)
        if above == 0 or self.sizes[above] <= size:
            return high
        low, below = self.ratio_of(above - 1), self.sizes[above - 1]
        return low + (high - low) * log(size / below) / log(self.sizes[above] / below)

    def ratio_of(self, index: int) -> float:
        """As in SHARDS-adj: requests that the sample has too few, or too many, are those of a very popular key that is
        not in it, or is; they hit at any size."""
        expected = self.requests / self.one_in
        return min(1.0, max(0.0, (self.hits[index] + expected - self.replayed) / expected))

    def points(self) -> list[tuple[int, float]]:
        """Sizes in entries, rising, and the hit ratio at each."""
        return [(size, self.hit_ratio(size)) for size in self.sizes]
