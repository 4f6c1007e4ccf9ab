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
        tie_goes_to_again = False
        # A second victim for one newcomer steps once more: it needs that much more room.
        if incoming in self.once_ghosts:
            step = len(self.again_ghosts) / len(self.once_ghosts)
            self.target = min(float(residents), self.target + max(1.0, step))
        elif incoming in self.again_ghosts:
            step = len(self.once_ghosts) / len(self.again_ghosts)
            self.target = max(0.0, self.target - max(1.0, step))
            tie_goes_to_again = True
        surplus = len(once) - self.target
        if once and (surplus > 0 or (tie_goes_to_again and not surplus) or not again):
            key = once.popitem(last=False)[0]
            self.once_ghosts[key] = None
        else:
            key = again.popitem(last=False)[0]
            self.again_ghosts[key] = None
        # `once` and its ghosts together are no more than the cache holds, all four lists no more than twice that.
        ghosts, limit = self.once_ghosts, residents - len(once)
        while len(ghosts) > limit and ghosts:
            ghosts.popitem(last=False)
        # One resident has left already, so that the lists may hold one less than they will.
        limit = residents + 1 - len(ghosts)
        ghosts = self.again_ghosts
        while len(ghosts) > limit and ghosts:
            ghosts.popitem(last=False)
        return key

    def remove(self, key: int) -> None:
        if key in self.once:
            del self.once[key]
        else:
            del self.again[key]

    def __iter__(self) -> Iterator[int]:
        yield from self.once
        yield from self.again
