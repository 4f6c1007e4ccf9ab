"""The strategy that would have hit most, found by trying all of them on a sample.

No strategy wins everywhere: what keeps a shop's pages best loses a third of the hits on the prefixes of conversations.
So each candidate runs as a shadow on the same sampled keys, scaled down. Every `BATCH` sampled requests their hits are
compared over a fading horizon, and the cache moves to the best one when staying has cost too much: when its lead, the
regret of whoever is in force, is both more than `WORTH` of the shadow's capacity, for a move is not free, and more than
`SIGMAS` standard deviations of the difference, batch by batch. So a lead that came by chance moves nothing; and once
moved, the old strategy has to win back as much before it returns.

It begins with ARC, which is the least wrong before anything is known: mostly above LRU, seldom far below it.

Cost: a hash a request, and four shadows a sampled one: 0.3 to 0.6 µs an operation together, falling with the rate from
4,000 entries on. In caches of 256 entries and fewer it is 0.9 µs while they learn, then they rest for most of the time
(`turns.py`). A batch is replayed at once, 0.2 ms. A move is spread over the operations after it (`handover.py`); no
other begins meanwhile.

Limits: a cache of a hundred entries whose requests come in bursts changes its best strategy faster than so few keys can
show. A loop just larger than the cache may fit into it in the sample, where all strategies then look alike.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import sqrt

from msgspec import Struct

from inference.policy.cache.arc import Arc
from inference.policy.cache.handover import HandOver
from inference.policy.cache.lru import Lru
from inference.policy.cache.s3fifo import S3Fifo
from inference.policy.cache.shadow import Shadow
from inference.policy.cache.strategy import Strategy
from inference.policy.cache.turns import Turn, Turns
from inference.policy.cache.wtinylfu import WTinyLfu

# The best before the first lead is proven comes first.
CANDIDATES: dict[str, Callable[[], Strategy]] = {"arc": Arc, "lru": Lru, "s3fifo": S3Fifo, "wtinylfu": WTinyLfu}
BATCH = 64  # sampled requests between two judgements
RATE = 0.25  # share of keys in the sample; twice that where shadows would hold fewer than `FEWEST_KEYS`
FEWEST_KEYS = 64  # smaller shadows rank strategies by chance
MOST_KEYS = 1024  # a shadow holds; the rate is halved to stay below
HORIZON = 100  # requests a key of capacity, after which evidence has faded to 1/e
WORTH = 0.02
SIGMAS = 2.0
MOVES = 32  # remembered


class Move(Struct, frozen=True):
    """One change of strategy, and why."""

    sampled: int  # requests of the sample that shadows have seen so far
    before: str
    after: str
    lead: float  # hits of the sample that staying had cost, faded
    deviation: float  # one standard deviation of the lead
    rate: float  # share of keys in the sample


class Adaptive:
    def __init__(self) -> None:
        self.shadows = [Shadow(make()) for make in CANDIDATES.values()]
        self.names = list(CANDIDATES)
        self.current = 0
        self.strategy: Strategy = CANDIDATES[self.names[0]]()
        self.hand_over: HandOver | None = None  # while one is under way
        self.rule = f"{self.name}: {self.strategy.rule}"
        self.residents = self.judged = 0
        self.room = 0  # residents when it was full last; 0 before
        self.mask = mask_for(0)
        self.batch: list[int] = []
        self.turns = Turns(len(self.names))
        self.scores = [0.0] * len(self.names)  # hits in the sample, faded
        self.squares = [[0.0] * len(self.names) for _ in self.names]  # of differences a batch, for each pair
        self.moves: deque[Move] = deque(maxlen=MOVES)

    @property
    def name(self) -> str:
        """Of the strategy in force."""
        return self.names[self.current]

    def hit(self, key: int) -> None:
        self.strategy.hit(key)
        if not hash((key,)) & self.mask:  # sampled(), inline
            self.batch.append(key)
            if len(self.batch) >= BATCH:
                self.judge()

    def add(self, key: int) -> None:
        self.residents += 1
        self.strategy.add(key)
        if not hash((key,)) & self.mask:
            self.batch.append(key)
            if len(self.batch) >= BATCH:
                self.judge()

    def evict(self, incoming: int) -> int:
        key = self.strategy.evict(incoming)
        self.room = self.residents
        self.residents -= 1
        return key

    def remove(self, key: int) -> None:
        self.strategy.remove(key)
        self.residents -= 1

    def __iter__(self) -> Iterator[int]:
        return iter(self.strategy)

    def judge(self) -> None:
        """Replay the batch in each shadow, let evidence fade, and move where that is due."""
        if self.hand_over is not None and self.hand_over.done:
            self.strategy, self.hand_over = self.hand_over.new, None
            self.rule = f"{self.name}: {self.strategy.rule}"
        rate = 1.0 / (self.mask + 1)
        # Before it is full the cache loses nothing, and neither may its shadows.
        capacity = max(1, round(self.room * rate)) if self.room else 2 * MOST_KEYS
        turn = Turn.WATCH  # all the time, in a cache that is not full or so large that the sample is small
        if self.room and self.mask == mask_for(0):
            if self.turns.advance(len(self.batch), capacity, self.current):
                self.shadows = [Shadow(make()) for make in CANDIDATES.values()]
            turn = self.turns.turn
        if turn is not Turn.REST:
            hits = [shadow.replay(self.batch, capacity) for shadow in self.shadows]
            self.judged += len(self.batch)
            if turn is Turn.WATCH:
                self.weigh(hits, capacity)
        self.batch.clear()
        self.resample()

    def weigh(self, hits: Sequence[int], capacity: int) -> None:
        self.turns.count(hits)
        fade = 1.0 - min(0.25, len(self.batch) / (HORIZON * capacity))
        for index, count in enumerate(hits):
            self.scores[index] = self.scores[index] * fade + count
            for other in range(index):
                square = self.squares[index][other] * fade * fade + (count - hits[other]) ** 2
                self.squares[index][other] = self.squares[other][index] = square
        if self.room and self.hand_over is None:
            self.move_if_due(WORTH * capacity)

    def move_if_due(self, worth: float) -> None:
        scores, before = self.scores, self.name
        best = max(range(len(scores)), key=scores.__getitem__)
        lead, deviation = scores[best] - scores[self.current], sqrt(self.squares[best][self.current])
        if lead <= max(worth, SIGMAS * deviation):
            return
        self.current = best
        self.moves.append(Move(self.judged, before, self.name, lead, deviation, 1.0 / (self.mask + 1)))
        self.rule = f"{self.name}: while {before} hands over to it, what {before} would have let go next leaves first"
        self.strategy = self.hand_over = HandOver(self.strategy, CANDIDATES[self.name]())

    def resample(self) -> None:
        """Keep the shadows as large as they need to be for what the cache holds, and no larger."""
        size = self.room or self.residents
        if (mask := mask_for(size)) > self.mask:
            for shadow in self.shadows:
                shadow.thin(mask)
            self.mask = mask
        # Not before it is half as small: by bytes, what fits goes up and down. The larger sample begins with gaps, the
        # same ones for every candidate.
        elif (mask := mask_for(2 * size)) < self.mask:
            self.mask = mask


def mask_for(residents: int) -> int:
    """Of the sample for a cache of `residents`: half of the keys, then a quarter, then no more than `MOST_KEYS`."""
    mask = 1
    while residents > (mask + 1) * (MOST_KEYS if mask + 1 >= 1 / RATE else 2 * FEWEST_KEYS):
        mask = 2 * mask + 1
    return mask
