"""S3-FIFO (Yang et al., SOSP 2023): a small queue that newcomers must survive, a main one, and ghosts of the refused.

A newcomer waits in the small queue, a tenth of the cache. Two hits there earn it a place in the main queue; else it
leaves, and only its key stays as a ghost. A ghost that is asked for goes straight to the main queue. The main queue
gives one more round for each hit counted, three at most. Things asked for once, as in a scan, so pass quickly.
"""

from collections import OrderedDict
from collections.abc import Iterator

SMALL_SHARE = 0.1  # of residents; the ghosts are as many as the main queue holds
PROMOTE_HITS = 2  # 1 keeps more of what is asked for twice in a row and never again
MOST_HITS = 3  # two bits
SHIFTED = 64  # residents put on trial at one eviction, at most


class S3Fifo:
    rule = "newcomers leave first unless they were asked for twice; others stay a round longer for each hit"

    def __init__(self) -> None:
        self.small: OrderedDict[int, None] = OrderedDict()
        self.main: OrderedDict[int, None] = OrderedDict()
        self.ghosts: OrderedDict[int, None] = OrderedDict()
        self.hits: dict[int, int] = {}  # of residents
        self.settled = False
        self.on_trial = 0  # how many of the oldest are still to be moved to `small`

    def hit(self, key: int) -> None:
        hits = self.hits[key]
        if hits < MOST_HITS:
            self.hits[key] = hits + 1

    def add(self, key: int) -> None:
        self.hits[key] = 0
        if key in self.ghosts:
            del self.ghosts[key]
            self.main[key] = None
        else:
            self.small[key] = None

    def evict(self, incoming: int) -> int:
        if not self.settled:
            self.settle()
        if self.on_trial:
            self.put_on_trial()
        residents = len(self.hits)
        main_limit = residents - int(residents * SMALL_SHARE)
        if len(self.main) <= main_limit or self.on_trial:
            while self.small:
                key = self.small.popitem(last=False)[0]
                if self.hits[key] < PROMOTE_HITS:
                    del self.hits[key]
                    ghosts = self.ghosts
                    ghosts[key] = None
                    while len(ghosts) > main_limit:
                        ghosts.popitem(last=False)
                    return key
                self.hits[key] = 0
                self.main[key] = None
        return self.evict_from_main()

    def settle(self) -> None:
        """At the first eviction: the oldest tenth has waited longest and is on trial now, the rest came in for good."""
        self.settled = True
        if not self.main:
            self.on_trial = int(len(self.hits) * SMALL_SHARE)
            self.small, self.main = self.main, self.small

    def put_on_trial(self) -> None:
        moved = min(self.on_trial, SHIFTED, len(self.main))
        for _ in range(moved):
            self.small[self.main.popitem(last=False)[0]] = None
        self.on_trial = self.on_trial - moved if self.main else 0

    def evict_from_main(self) -> int:
        main, hits = self.main, self.hits
        while True:
            key = main.popitem(last=False)[0]
            left = hits[key]
            if not left:
                del hits[key]
                return key
            hits[key] = left - 1
            main[key] = None

    def remove(self, key: int) -> None:
        del self.hits[key]
        if key in self.small:
            del self.small[key]
        else:
            del self.main[key]

    def __iter__(self) -> Iterator[int]:
        yield from self.small
        yield from self.main
