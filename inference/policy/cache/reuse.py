"""How long an answer should live: what each time to live would have hit, and how soon keys are asked for again.

A sample of keys is followed through a ladder of times to live, each as a cache without limits would: an answer is
fresh for that long after it was stored, whoever asks for it. So the hit ratios are what a time to live can bring at
best; what room costs is on the curve of sizes. The gaps between two requests for a key say where the knee is.
"""

from bisect import bisect_left
from collections import OrderedDict

from msgspec import Struct

from inference.policy.cache.sampling import sampled

LADDER_S = (1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10_800.0, 43_200.0, 86_400.0)
MOST_KEYS = 1024  # followed; the longest unseen gives way and the rate is halved
KEEP = 0.95  # of the hits that the longest time to live would bring
FEWEST_REQUESTS = 200  # of sampled keys before anything is advised


class TtlAdvice(Struct, frozen=True):
    """The shortest time to live that keeps `KEEP` of the hits; None with a reason while too little was seen."""

    ttl_s: float | None
    hit_ratio: float
    reason: str


class Reuse:
    """Owned by whoever tells it of every request. A hash a request, 1 µs a sampled one."""

    def __init__(self) -> None:
        self.mask = 0
        # For each key: when it was asked for last, then when each time to live would have stored it.
        self.keys: OrderedDict[int, list[float]] = OrderedDict()
        self.requests = 0.0
        self.hits = [0.0] * len(LADDER_S)
        self.gaps = [0.0] * (len(LADDER_S) + 1)  # the last one is of gaps beyond the ladder

    def observe(self, key: int, now_s: float) -> None:
        """A clock that goes back counts as no time at all."""
        if not sampled(key, self.mask):
            return
        self.requests += 1.0
        times = self.keys.get(key)
        if times is None:
            self.keys[key] = [now_s] * (len(LADDER_S) + 1)
            if len(self.keys) > MOST_KEYS:
                self.thin()
            return
        self.gaps[bisect_left(LADDER_S, now_s - times[0])] += 1.0
        times[0] = max(times[0], now_s)
        for index, ttl_s in enumerate(LADDER_S, 1):
            if now_s - times[index] < ttl_s:
                self.hits[index - 1] += 1.0
            else:
                times[index] = now_s
        self.keys.move_to_end(key)

    def thin(self) -> None:
        self.mask = 2 * self.mask + 1
        for key in [key for key in self.keys if not sampled(key, self.mask)]:
            del self.keys[key]
        while len(self.keys) > MOST_KEYS:
            self.keys.popitem(last=False)
        # What was counted so far is weighed as the smaller sample would have counted it.
        self.requests /= 2
        self.hits = [count / 2 for count in self.hits]
        self.gaps = [count / 2 for count in self.gaps]

    def hit_ratios(self) -> list[tuple[float, float]]:
        """Times to live in seconds, rising, and the hit ratio of each in a cache without limits."""
        return [
            (ttl_s, hits / self.requests if self.requests else 0.0)
            for ttl_s, hits in zip(LADDER_S, self.hits, strict=True)
        ]

    def advise(self) -> TtlAdvice:
        if self.requests < FEWEST_REQUESTS:
            return TtlAdvice(None, 0.0, f"only {self.requests:.0f} requests of sampled keys so far")
        most = max(self.hits)
        if not most:
            return TtlAdvice(None, 0.0, f"no key came back within {LADDER_S[-1] / 3600:.0f} h: nothing to cache")
        ttl_s, hits = next(pair for pair in zip(LADDER_S, self.hits, strict=True) if pair[1] >= KEEP * most)
        soon = sum(self.gaps[: bisect_left(LADDER_S, ttl_s) + 1]) / sum(self.gaps)
        return TtlAdvice(
            ttl_s,
            hits / self.requests,
            f"keeps {hits / most:.0%} of the hits that any time to live would bring; "
            f"{soon:.0%} of the keys that come back do so within it",
        )
