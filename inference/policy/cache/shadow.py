"""A shadow: a strategy that runs on the keys of a sample alone, to see how often it would have hit."""

from collections.abc import Sequence

from inference.policy.cache.sampling import sampled
from inference.policy.cache.strategy import Strategy


class Shadow:
    """Owned by whoever samples; holds keys, never values."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.keys: set[int] = set()

    def replay(self, requests: Sequence[int], capacity: int) -> int:
        """How many of `requests` it hits, in order, with room for `capacity` keys. 0 holds nothing and hits nothing."""
        if capacity < 1:
            return 0
        keys, strategy = self.keys, self.strategy
        hit, add, evict = strategy.hit, strategy.add, strategy.evict
        hits = 0
        for key in requests:
            if key in keys:
                hits += 1
                hit(key)
            else:
                while len(keys) >= capacity:
                    keys.discard(evict(key))
                keys.add(key)
                add(key)
        return hits

    def thin(self, mask: int) -> None:
        """Forget what is not in the sample of `mask`."""
        for key in [key for key in self.keys if not sampled(key, mask)]:
            self.keys.discard(key)
            self.strategy.remove(key)
