"""W-TinyLFU (Einziger, Friedman, Manes, 2017), as in Caffeine: who is asked for more often than its victim may stay.

A small window by recency gives newcomers time to prove themselves. Who leaves it meets the main part's next victim, and
the one that was asked for more often lately stays. The main part is segmented: on probation, and protected after a hit.
The window grows or shrinks by hill climbing: on towards more hits, back when there are fewer.
"""

from collections import OrderedDict
from collections.abc import Iterator

from inference.policy.cache.frequency import KEYS, Frequency

WINDOW_SHARE = 0.01  # of residents, to begin with and at least
WIDEST_SHARE = 0.8
PROTECTED_SHARE = 0.8  # of the main part
PERIOD = 10  # requests a resident, after which counts age and the window takes a step
STEP_SHARE = 0.0625  # of residents: the first step, and the one after a change of the workload
STEP_FADE = 0.98
RESTART = 0.05  # a hit ratio that changes by as much is another workload
SHIFTED = 1024  # keys that change parts at one eviction, at most: 0.5 ms, when 100,000 have filled up the window


class WTinyLfu:
    rule = "a newcomer stays only if it was asked for more often than its victim"

    def __init__(self) -> None:
        self.window: OrderedDict[int, None] = OrderedDict()
        self.probation: OrderedDict[int, None] = OrderedDict()
        self.protected: OrderedDict[int, None] = OrderedDict()
        self.frequency = Frequency()
        self.window_share = WINDOW_SHARE
        self.step = STEP_SHARE
        self.hits = self.added = 0  # since the last step
        self.sized_for = self.window_limit = self.protected_limit = 0
        self.last_ratio = 0.0

    def hit(self, key: int) -> None:
        self.hits += 1
        counts = self.frequency.young
        counts[key] = counts.get(key, 0) + 1
        if key in self.protected:
            self.protected.move_to_end(key)
        elif key in self.probation:
            del self.probation[key]
            self.protected[key] = None
        else:
            self.window.move_to_end(key)

    def add(self, key: int) -> None:
        self.added += 1
        counts = self.frequency.young
        counts[key] = counts.get(key, 0) + 1
        self.window[key] = None

    def evict(self, incoming: int) -> int:
        window, probation, protected = self.window, self.probation, self.protected
        residents = len(window) + len(probation) + len(protected)
        if self.hits + self.added > residents * PERIOD:
            self.climb()
            self.size(residents)
        elif residents != self.sized_for:
            self.size(residents)
        frequency = self.frequency
        young, old = frequency.young, frequency.old
        if len(young) >= KEYS * residents:
            frequency.age()
            young, old = frequency.young, frequency.old
        over = len(protected) - self.protected_limit
        if over > 0:
            for _ in range(min(over, SHIFTED)):
                probation[protected.popitem(last=False)[0]] = None
        # Of the window's places one is for the newcomer. What is over, after filling up or a step down, goes untried.
        over = len(window) - self.window_limit + 1
        if over > 1:
            for _ in range(min(over - 1, SHIFTED)):
                probation[window.popitem(last=False)[0]] = None
        victims = probation or protected
        if over > 0:
            candidate = window.popitem(last=False)[0]
            if not victims:
                return candidate
            victim = next(iter(victims))
            # The older generation counts half. Inline, for two calls would be a quarter of what an eviction costs.
            if young.get(candidate, 0) + 0.5 * old.get(candidate, 0) <= young.get(victim, 0) + 0.5 * old.get(victim, 0):
                return candidate
            probation[candidate] = None
        elif not victims:
            victims = window
        return victims.popitem(last=False)[0]

    def size(self, residents: int) -> None:
        self.sized_for = residents
        self.window_limit = max(1, int(residents * self.window_share))
        self.protected_limit = int((residents - self.window_limit) * PROTECTED_SHARE)

    def climb(self) -> None:
        self.frequency.age()
        ratio = self.hits / (self.hits + self.added)
        change = ratio - self.last_ratio
        if change < 0:
            self.step = -self.step
        if abs(change) >= RESTART:
            self.step = STEP_SHARE if self.step > 0 else -STEP_SHARE
        else:
            self.step *= STEP_FADE
        self.window_share = min(WIDEST_SHARE, max(WINDOW_SHARE, self.window_share + self.step))
        self.last_ratio = ratio
        self.hits = self.added = 0

    def remove(self, key: int) -> None:
        if key in self.protected:
            del self.protected[key]
        elif key in self.probation:
            del self.probation[key]
        else:
            del self.window[key]

    def __iter__(self) -> Iterator[int]:
        yield from self.window
        yield from self.probation
        yield from self.protected
