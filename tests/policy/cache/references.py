"""Each strategy once more, as slowly and as plainly as its paper says it: lists, scans, no shortcuts."""

from collections.abc import Callable


class Reference:
    """A cache of keys: `ask` says whether it hit, and makes room and stores if it did not."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def residents(self) -> list[int]:
        raise NotImplementedError

    def ask(self, key: int) -> bool:
        if key in self.residents():
            self.hit(key)
            return True
        if len(self.residents()) >= self.capacity:
            self.evict(key)
        self.add(key)
        return False

    def hit(self, key: int) -> None:
        raise NotImplementedError

    def add(self, key: int) -> None:
        raise NotImplementedError

    def evict(self, incoming: int) -> None:
        raise NotImplementedError


class FifoReference(Reference):
    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.queue: list[int] = []

    def residents(self) -> list[int]:
        return self.queue

    def hit(self, key: int) -> None:
        pass

    def add(self, key: int) -> None:
        self.queue.append(key)

    def evict(self, incoming: int) -> None:
        del self.queue[0]

    def remove(self, key: int) -> None:
        self.queue.remove(key)


class LruReference(FifoReference):
    def hit(self, key: int) -> None:
        self.queue.remove(key)
        self.queue.append(key)


class LfuReference(LruReference):
    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.counts: dict[int, int] = {}

    def hit(self, key: int) -> None:
        super().hit(key)
        self.counts[key] += 1

    def add(self, key: int) -> None:
        super().add(key)
        self.counts[key] = 1

    def evict(self, incoming: int) -> None:
        self.queue.remove(min(self.queue, key=lambda key: self.counts[key]))


class SieveReference(FifoReference):
    """The paper's list and hand. `queue` runs from the tail, the oldest, to the head."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.visited: set[int] = set()
        self.hand: int | None = None  # the key it points at; None: start at the tail

    def hit(self, key: int) -> None:
        self.visited.add(key)

    def add(self, key: int) -> None:
        self.visited.discard(key)
        super().add(key)

    def after(self, key: int) -> int | None:
        place = self.queue.index(key) + 1
        return self.queue[place] if place < len(self.queue) else None

    def evict(self, incoming: int) -> None:
        at = self.queue[0] if self.hand is None else self.hand
        while at in self.visited:
            self.visited.discard(at)
            following = self.after(at)
            at = self.queue[0] if following is None else following
        self.hand = self.after(at)
        self.queue.remove(at)

    def remove(self, key: int) -> None:
        if self.hand == key:
            self.hand = self.after(key)
        super().remove(key)


class S3FifoReference(Reference):
    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.small: list[int] = []
        self.main: list[int] = []
        self.ghosts: list[int] = []
        self.count: dict[int, int] = {}
        self.evicted = False

    def residents(self) -> list[int]:
        return self.small + self.main

    def hit(self, key: int) -> None:
        self.count[key] = min(3, self.count[key] + 1)

    def add(self, key: int) -> None:
        self.count[key] = 0
        returns = key in self.ghosts
        # While it fills up, what does not fit into the small queue goes to the main one.
        in_main = returns or (not self.evicted and len(self.small) >= int(self.capacity * 0.1))
        if returns:
            self.ghosts.remove(key)
        (self.main if in_main else self.small).append(key)

    def evict(self, incoming: int) -> None:
        self.evicted = True
        main_size = self.capacity - int(self.capacity * 0.1)
        if len(self.main) <= main_size:
            while self.small:
                key = self.small.pop(0)
                if self.count[key] < 2:
                    self.ghosts = [*self.ghosts, key][-main_size:]
                    return
                self.count[key] = 0
                self.main.append(key)
        while self.count[self.main[0]]:
            key = self.main.pop(0)
            self.count[key] -= 1
            self.main.append(key)
        del self.main[0]


class ArcReference(Reference):
    """Figure 4 of the paper, with its names."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.t1: list[int] = []
        self.t2: list[int] = []
        self.b1: list[int] = []
        self.b2: list[int] = []
        self.p = 0.0

    def residents(self) -> list[int]:
        return self.t1 + self.t2

    def hit(self, key: int) -> None:
        (self.t1 if key in self.t1 else self.t2).remove(key)
        self.t2.append(key)

    def add(self, key: int) -> None:
        ghosts = next((ghosts for ghosts in (self.b1, self.b2) if key in ghosts), None)
        if ghosts is None:
            self.t1.append(key)
        else:
            ghosts.remove(key)
            self.t2.append(key)

    def evict(self, incoming: int) -> None:
        in_b2 = incoming in self.b2
        if incoming in self.b1:
            self.p = min(float(self.capacity), self.p + max(1.0, len(self.b2) / len(self.b1)))
        elif in_b2:
            self.p = max(0.0, self.p - max(1.0, len(self.b1) / len(self.b2)))
        if self.t1 and (len(self.t1) > self.p or (in_b2 and len(self.t1) == self.p) or not self.t2):
            self.b1.append(self.t1.pop(0))
        else:
            self.b2.append(self.t2.pop(0))
        while self.b1 and len(self.t1) + len(self.b1) > self.capacity:
            del self.b1[0]
        while self.b2 and len(self.t1 + self.t2 + self.b1 + self.b2) > 2 * self.capacity:
            del self.b2[0]


class WTinyLfuReference(Reference):
    """A window of one entry: with so few keys a hundredth is less, and no step is taken before `PERIOD` is over."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.window: list[int] = []
        self.probation: list[int] = []
        self.protected: list[int] = []
        self.asked: list[int] = []

    def residents(self) -> list[int]:
        return self.window + self.probation + self.protected

    def hit(self, key: int) -> None:
        self.asked.append(key)
        if key in self.probation:
            self.probation.remove(key)
            self.protected.append(key)
        else:
            part = self.window if key in self.window else self.protected
            part.remove(key)
            part.append(key)

    def add(self, key: int) -> None:
        self.asked.append(key)
        self.window.append(key)

    def evict(self, incoming: int) -> None:
        while len(self.protected) > (self.capacity - 1) * 0.8:
            self.probation.append(self.protected.pop(0))
        while len(self.window) > 1:
            self.probation.append(self.window.pop(0))
        candidate = self.window.pop(0) if self.window else None
        victims = self.probation or self.protected
        if candidate is not None and not victims:
            return
        if candidate is not None and self.asked.count(candidate) <= self.asked.count(victims[0]):
            return
        del victims[0]
        if candidate is not None:
            self.probation.append(candidate)


REFERENCES: dict[str, Callable[[int], Reference]] = {
    "fifo": FifoReference, "lru": LruReference, "lfu": LfuReference, "sieve": SieveReference,
    "s3fifo": S3FifoReference, "arc": ArcReference, "wtinylfu": WTinyLfuReference,
}  # fmt: skip
