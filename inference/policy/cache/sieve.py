"""SIEVE (Zhang et al., NSDI 2024): a queue in order of arrival, and a hand that sweeps from the oldest to the newest.

The hand spares whoever was asked for since it last came by, and evicts the first that was not. Newcomers join behind
the newest; the hand keeps its place. It is a queue and no list: what the hand has spared lies in `spared`, what is
still before it in `ahead`; when nothing is ahead, the sweep begins again with the spared, who keep their order.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator


class Sieve:
    rule = "a sweeping hand evicts what was not asked for since it last came by"

    def __init__(self) -> None:
        self.ahead: OrderedDict[int, None] = OrderedDict()
        self.spared: OrderedDict[int, None] = OrderedDict()
        self.visited: set[int] = set()
        self.hit: Callable[[int], None] = self.visited.add

    def add(self, key: int) -> None:
        self.ahead[key] = None

    def evict(self, incoming: int) -> int:
        visited = self.visited
        if not self.ahead:  # all that was ahead has been removed
            self.ahead, self.spared = self.spared, self.ahead
        while True:
            key = self.ahead.popitem(last=False)[0]
            spare = key in visited
            if spare:
                visited.discard(key)
                self.spared[key] = None
            if not self.ahead:
                # Before the newcomer joins: the hand has passed the newest and begins again with the oldest.
                self.ahead, self.spared = self.spared, self.ahead
            if not spare:
                return key

    def remove(self, key: int) -> None:
        if key in self.ahead:
            del self.ahead[key]
        else:
            del self.spared[key]
        self.visited.discard(key)

    def __iter__(self) -> Iterator[int]:
        sweep = [*self.ahead, *self.spared]
        yield from (key for key in sweep if key not in self.visited)
        yield from (key for key in sweep if key in self.visited)
