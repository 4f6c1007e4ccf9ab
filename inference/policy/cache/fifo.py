"""First in, first out: the floor that every other strategy has to beat, and the cheapest."""

from collections import OrderedDict
from collections.abc import Iterator


class Fifo:
    rule = "what came first leaves first"

    def __init__(self) -> None:
        # Not a plain dict: finding its first key walks over all that were deleted before it.
        self.queue: OrderedDict[int, None] = OrderedDict()

    def hit(self, key: int) -> None:
        pass

    def add(self, key: int) -> None:
        self.queue[key] = None

    def evict(self, incoming: int) -> int:
        return self.queue.popitem(last=False)[0]

    def remove(self, key: int) -> None:
        del self.queue[key]

    def __iter__(self) -> Iterator[int]:
        return iter(self.queue)
