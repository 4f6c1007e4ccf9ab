"""ARC (Megiddo and Modha, FAST 2003): a part for what was asked for once, one for what came back, a moving border.

Each part is kept by recency and remembers whom it evicted. A ghost that is asked for says which part was too small, and
`target`, the share of the first, moves by one step or by the ratio of the two ghost lists, whichever is more.
"""

from collections import OrderedDict
from collections.abc import Iterator


class Arc:
    rule = "what was asked for once, or what came back, leaves first, whichever part has more than its share"

    def __init__(self) -> None:
        self.once: OrderedDict[int, None] = OrderedDict()  # T1 of the paper
        self.again: OrderedDict[int, None] = OrderedDict()  # T2
        self.once_ghosts: OrderedDict[int, None] = OrderedDict()  # B1
        self.again_ghosts: OrderedDict[int, None] = OrderedDict()  # B2
        self.target = 0.0  # how many residents `once` should have

    def hit(self, key: int) -> None:
        if key in self.once:
            del self.once[key]
            self.again[key] = None
        else:
            self.again.move_to_end(key)

    def add(self, key: int) -> None:
        if key in self.once_ghosts:
            del self.once_ghosts[key]
            self.again[key] = None
        elif key in self.again_ghosts:
            del self.again_ghosts[key]
            self.again[key] = None
        else:
            self.once[key] = None

    def evict(self, incoming: int) -> int:
        once, again = self.once, self.again
        residents = len(once) + len(again)
        returns = incoming in self.again_ghosts
        self.adapt(incoming, residents)
        if once and (len(once) > self.target or (returns and len(once) == self.target) or not again):
            key = once.popitem(last=False)[0]
            self.once_ghosts[key] = None
        else:
            key = again.popitem(last=False)[0]
            self.again_ghosts[key] = None
        self.trim(residents)
        return key

    def adapt(self, incoming: int, residents: int) -> None:
        """For a second victim of one newcomer it steps again: the newcomer needs that much more room."""
        once, again = len(self.once_ghosts), len(self.again_ghosts)
        if incoming in self.once_ghosts:
            self.target = min(float(residents), self.target + max(1.0, again / once))
        elif incoming in self.again_ghosts:
            self.target = max(0.0, self.target - max(1.0, once / again))

    def trim(self, residents: int) -> None:
        """`once` and its ghosts together are no more than the cache holds, all four lists no more than twice that."""
        while self.once_ghosts and len(self.once) + len(self.once_ghosts) > residents:
            self.once_ghosts.popitem(last=False)
        listed = len(self.once) + len(self.again) + len(self.once_ghosts) + len(self.again_ghosts)
        while self.again_ghosts and listed > 2 * residents:
            self.again_ghosts.popitem(last=False)
            listed -= 1

    def remove(self, key: int) -> None:
        if key in self.once:
            del self.once[key]
        else:
            del self.again[key]

    def __iter__(self) -> Iterator[int]:
        yield from self.once
        yield from self.again
