"""Least recently used: right where what was asked for last is asked for next, as are the prefixes of a conversation."""

from collections import OrderedDict
from collections.abc import Callable, Iterator


class Lru:
    rule = "what was asked for least recently leaves first"

    def __init__(self) -> None:
        self.queue: OrderedDict[int, None] = OrderedDict()
        # The C method itself: a Python one around it would double the price of a hit.
        self.hit: Callable[[int], None] = self.queue.move_to_end

    def add(self, key: int) -> None:
        self.queue[key] = None

    def evict(self, incoming: int) -> int:
        return self.queue.popitem(last=False)[0]

    def remove(self, key: int) -> None:
        del self.queue[key]

    def __iter__(self) -> Iterator[int]:
        return iter(self.queue)
