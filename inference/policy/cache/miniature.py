"""How often any strategy would hit with more or less room: the question that a reuse distance answers for LRU alone.

Miniature simulation (Waldspurger et al., USENIX ATC 2017): the strategy itself runs on a sample of the keys at each of
several sizes, all of them scaled down by the rate. What the console shows as "twice the room would bring".
"""

from collections.abc import Callable, Sequence
from math import log

from inference.policy.cache.sampling import sampled
from inference.policy.cache.shadow import Shadow
from inference.policy.cache.strategy import Strategy

FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)  # of the room there is
MOST_KEYS = 1024  # that the largest of the miniatures holds; all of them together some 0.7 MB
BATCH = 256


class MiniatureCurve:
    """Of one strategy, around `capacity` entries. Owned by whoever tells it of every request, hit or miss.

    Costs a hash a request and seven shadows a sampled one. Raises ValueError for a capacity under 1 entry.
    """

    def __init__(self, make: Callable[[], Strategy], capacity: int, factors: Sequence[float] = FACTORS) -> None:
        if capacity < 1:
            raise ValueError(f"A curve was asked for around {capacity} entries; there must be at least 1.")
        self.sizes = sorted({max(1, round(capacity * factor)) for factor in factors})
        self.mask = 0
        while self.sizes[-1] > MOST_KEYS * (self.mask + 1):
            self.mask = 2 * self.mask + 1
        self.shadows = [Shadow(make()) for _ in self.sizes]
        self.hits = [0.0] * len(self.sizes)
        self.requests = 0.0
        self.batch: list[int] = []

    def observe(self, key: int) -> None:
        if sampled(key, self.mask):
            self.batch.append(key)
            if len(self.batch) >= BATCH:
                self.replay()

    def replay(self) -> None:
        for index, size in enumerate(self.sizes):
            self.hits[index] += self.shadows[index].replay(self.batch, max(1, round(size / (self.mask + 1))))
        self.requests += len(self.batch)
        self.batch.clear()

    def hit_ratio(self, size: float) -> float:
        """At `size` entries; between two miniatures it is drawn straight over the logarithm, beyond them it is flat."""
        self.replay()
        if not self.requests or size <= 0:
            return 0.0
        above = next((index for index, known in enumerate(self.sizes) if known >= size), len(self.sizes) - 1)
        high = self.hits[above] / self.requests
        if above == 0 or self.sizes[above] <= size:
            return high
        low = self.hits[above - 1] / self.requests
        below = self.sizes[above - 1]
        return low + (high - low) * log(size / below) / log(self.sizes[above] / below)

    def points(self) -> list[tuple[int, float]]:
        """Sizes in entries, rising, and the hit ratio at each."""
        return [(size, self.hit_ratio(size)) for size in self.sizes]
