"""From one strategy to another, a few residents an operation: moving 100,000 at once would stop the loop for 50 ms.

What is new, and what is asked for, belongs to the new strategy from then on. Of the rest `MOVED` an operation follow,
in the order in which they would have left; who has to leave meanwhile is the next in that order. When the old strategy
has none left, its ghosts and counts go as well, `RELEASED` an operation, for Python frees them one by one.

So of N residents all have moved after N / `MOVED` hits and insertions at most. Until then each of these costs up to
15 µs more, then, until all is released, 5 µs; purges and evictions move nobody. What a dictionary takes to grow comes
on top, as it does in any cache that fills up: some 10 ms once, at 100,000 entries.
"""

from collections.abc import Iterator

from inference.policy.cache.strategy import Strategy

MOVED = 8
RELEASED = 64


class HandOver:
    """Is a strategy itself. Owns both others until `done`; then whoever owns it goes on with `new` alone."""

    rule = "what would have left next leaves first, until all have moved to another strategy"

    def __init__(self, old: Strategy, new: Strategy) -> None:
        """`old` has all residents, `new` has none."""
        self.old, self.new = old, new
        self.moving = True
        self.leftovers: list[dict[int, object]] = []

    @property
    def done(self) -> bool:
        return not self.moving and not self.leftovers

    def hit(self, key: int) -> None:
        if self.moving and self.was_in_old(key):
            self.new.add(key)
        self.new.hit(key)
        self.go_on()

    def add(self, key: int) -> None:
        self.new.add(key)
        self.go_on()

    def evict(self, incoming: int) -> int:
        # Not old.evict(): as the old one shrinks it would forget ghosts and counts, many of them at once.
        key = self.leave_old() if self.moving else None
        return self.new.evict(incoming) if key is None else key

    def remove(self, key: int) -> None:
        if not (self.moving and self.was_in_old(key)):
            self.new.remove(key)

    def __iter__(self) -> Iterator[int]:
        yield from self.old
        yield from self.new

    def was_in_old(self, key: int) -> bool:
        """And is no more. To ask remove() needs no set of those that have moved, which would have to be freed too."""
        try:
            self.old.remove(key)
        except KeyError:
            return False
        return True

    def leave_old(self) -> int | None:
        """Who is next to leave the old one, and has left it; None where it has nobody left, which ends the move."""
        key = next(iter(self.old), None)
        if key is not None:
            self.old.remove(key)
        else:
            self.moving = False
            self.leftovers = dictionaries(self.old)
        return key

    def go_on(self) -> None:
        if self.moving:
            for _ in range(MOVED):
                key = self.leave_old()
                if key is None:
                    break
                self.new.add(key)
        elif self.leftovers:
            self.release()

    def release(self) -> None:
        left = self.leftovers[-1]
        for _ in range(min(RELEASED, len(left))):
            left.popitem()
        if not left:
            self.leftovers.pop()


def dictionaries(of: object) -> list[dict[int, object]]:
    """All that it holds keys in, and its parts do."""
    found = []
    for value in vars(of).values():
        if isinstance(value, dict):
            found.append(value)
        elif hasattr(value, "__dict__"):
            found += dictionaries(value)
    return found
