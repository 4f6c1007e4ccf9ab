"""Least frequently used, exactly and for ever: among those asked for least often, the least recently used leaves.

O(1) by one ordered bucket a count (Shah, Mitra, Matani, 2010). Counts never fade, so what was popular once stays: it is
here to be measured against, and for workloads whose popularity does not move. `wtinylfu` is the one that forgets.
"""

from collections import OrderedDict
from collections.abc import Iterator


class Lfu:
    rule = "what was asked for least often leaves first"

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.buckets: dict[int, OrderedDict[int, None]] = {}
        self.least = 1  # no bucket below it has a key

    def hit(self, key: int) -> None:
        count = self.counts[key]
        bucket = self.buckets[count]
        del bucket[key]
        if not bucket:
            del self.buckets[count]
            if count == self.least:
                self.least = count + 1  # where the key goes now
        self.place(key, count + 1)

    def add(self, key: int) -> None:
        self.least = 1
        self.place(key, 1)

    def place(self, key: int, count: int) -> None:
        self.counts[key] = count
        bucket = self.buckets.get(count)
        if bucket is None:
            bucket = self.buckets[count] = OrderedDict()
        bucket[key] = None

    def evict(self, incoming: int) -> int:
        if not self.counts:
            raise KeyError("an empty cache has nothing to evict")
        bucket = self.buckets.get(self.least)
        if bucket is None:
            # Only after a removal, or a second victim for one newcomer: a newcomer starts again at 1.
            self.least = min(self.buckets)
            bucket = self.buckets[self.least]
        key = bucket.popitem(last=False)[0]
        if not bucket:
            del self.buckets[self.least]
        del self.counts[key]
        return key

    def remove(self, key: int) -> None:
        count = self.counts.pop(key)
        bucket = self.buckets[count]
        del bucket[key]
        if not bucket:
            del self.buckets[count]

    def __iter__(self) -> Iterator[int]:
        for count in sorted(self.buckets):
            yield from self.buckets[count]
