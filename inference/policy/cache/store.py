"""The cache itself: values under keys within limits of entries, bytes and time, with a strategy that says who leaves.

No clock: every call that depends on time takes `now_s`, seconds that never go back by much; an entry that seems to have
been stored in the future is fresh. Owned by one thread.
"""

from collections import OrderedDict, deque
from enum import Enum
from math import inf
from typing import Generic, NamedTuple, TypeVar, cast

from msgspec import Struct

from inference.policy.cache.admission import MIB, Admission, refuse
from inference.policy.cache.registry import make_strategy
from inference.spec import CachePolicy

V = TypeVar("V")
DEPARTURES = 4096  # remembered, so that one can say why a key is not there any more


class Entry(Struct, Generic[V], gc=False):
    value: V
    size_bytes: int
    cost_s: float
    stored_s: float
    expires_s: float
    hits: int = 0


class Left(str, Enum):
    """Why an entry left."""

    EVICTED = "evicted"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REMOVED = "removed"


class Departure(NamedTuple):
    key: int
    why: Left
    at_s: float
    entry: Entry[None]  # without its value
    incoming: int  # the key it made room for; 0 where there was none
    rule: str  # of the strategy that chose it


class Counters(Struct):
    hits: int = 0
    misses: int = 0
    stored: int = 0
    refused: int = 0
    evicted: int = 0
    expired: int = 0
    saved_s: float = 0.0  # of work, by hits

    @property
    def hit_ratio(self) -> float:
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class Cache(Generic[V]):
    """Get, put, remove. Keys are integers, digests of what was asked; values are whatever the caller keeps.

    With `max_entries` or `max_bytes` 0 nothing is ever stored, which `put` says. Raises ValueError for an unknown
    strategy.
    """

    def __init__(self, policy: CachePolicy, admission: Admission | None = None) -> None:
        self.policy = policy
        self.admission = admission or Admission()
        has_room = policy.max_entries and policy.max_bytes
        self.most_bytes = int(policy.max_bytes * self.admission.max_share) if has_room else -1
        self.strategy = make_strategy(policy.strategy)
        self.entries: OrderedDict[int, Entry[V]] = OrderedDict()  # in the order in which they were stored
        self.size_bytes = 0
        self.counters = Counters()
        # Plain tuples: one is made for each eviction, a Departure only for who asks.
        self.departed: deque[tuple[int, Left, float, Entry[None], int, str]] = deque(maxlen=DEPARTURES)
        self.look_s = -inf  # before that time the oldest entry is fresh

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, key: int) -> bool:
        return key in self.entries

    def get(self, key: int, now_s: float) -> V | None:
        """The value, or None: it is not there, or its time is over, and then it is dropped."""
        entry = self.entries.get(key)
        if entry is None:
            self.counters.misses += 1
            return None
        if entry.expires_s <= now_s:
            self.counters.misses += 1
            self.drop(key, Left.EXPIRED, now_s)
            return None
        entry.hits += 1
        counters = self.counters
        counters.hits += 1
        counters.saved_s += entry.cost_s
        self.strategy.hit(key)
        return entry.value

    def put(
        self, key: int, value: V, now_s: float, *, size_bytes: int = 1, cost_s: float = 0.0, ttl_s: float | None = None
    ) -> str:
        """Store it in place of what is there under `key`, evicting until it fits. Says why not, or "" where it did.

        `cost_s` is the work a hit saves; `ttl_s` overrides the policy's, and 0 or less stores nothing. Raises
        ValueError for a negative size.
        """
        policy, admission, entries = self.policy, self.admission, self.entries
        if key in entries:
            self.drop(key, Left.REPLACED, now_s)
        lives_s = policy.ttl_s if ttl_s is None else ttl_s
        if not (
            0 <= size_bytes <= self.most_bytes
            and lives_s > 0.0
            and cost_s >= admission.min_cost_s
            and cost_s * MIB >= admission.min_cost_s_per_mib * size_bytes
        ):
            self.counters.refused += 1
            return self.refusal(size_bytes, cost_s, lives_s)
        while len(entries) >= policy.max_entries or self.size_bytes + size_bytes > policy.max_bytes:
            self.make_room(key, now_s)
        entries[key] = Entry(value, size_bytes, cost_s, now_s, now_s + lives_s)
        self.size_bytes += size_bytes
        self.counters.stored += 1
        self.strategy.add(key)
        return ""

    def refusal(self, size_bytes: int, cost_s: float, ttl_s: float) -> str:
        policy = self.policy
        if size_bytes < 0:
            raise ValueError(f"A value of {size_bytes} bytes was to be stored; sizes are 0 or more.")
        if not policy.max_entries or not policy.max_bytes:
            return f"the cache has no room: max_entries {policy.max_entries}, max_bytes {policy.max_bytes}"
        if not ttl_s > 0:
            return f"it would be stale at once: its time to live is {ttl_s} s"
        return refuse(size_bytes, cost_s, policy.max_bytes, self.admission)

    def make_room(self, incoming: int, now_s: float) -> None:
        """Of one entry: the oldest if its time is over anyway, else the strategy's choice."""
        if now_s >= self.look_s:
            oldest = next(iter(self.entries))
            self.look_s = self.entries[oldest].expires_s
            if self.look_s <= now_s:
                self.drop(oldest, Left.EXPIRED, now_s)
                return
        key = self.strategy.evict(incoming)
        self.counters.evicted += 1
        self.forget(key, Left.EVICTED, now_s, incoming)

    def remove(self, key: int, now_s: float) -> bool:
        """Drop it, as for a purge; whether it was there."""
        if key not in self.entries:
            return False
        self.drop(key, Left.REMOVED, now_s)
        return True

    def sweep(self, now_s: float, at_most: int = 100) -> int:
        """Drop the oldest entries whose time is over; how many. Bounded, so that it may be done between requests."""
        dropped = 0
        while self.entries and dropped < at_most:
            oldest = next(iter(self.entries))
            if self.entries[oldest].expires_s > now_s:
                break
            self.drop(oldest, Left.EXPIRED, now_s)
            dropped += 1
        return dropped

    def drop(self, key: int, why: Left, now_s: float) -> None:
        if why is Left.EXPIRED:
            self.counters.expired += 1
        self.strategy.remove(key)
        self.forget(key, why, now_s, 0)

    def forget(self, key: int, why: Left, now_s: float, incoming: int) -> None:
        entry = self.entries.pop(key)
        self.size_bytes -= entry.size_bytes
        left = cast("Entry[None]", entry)
        left.value = None  # the story stays, the memory goes
        self.departed.append((key, why, now_s, left, incoming, self.strategy.rule))

    def last_departure(self, key: int) -> Departure | None:
        """Of the last ones only, and by a walk over them: for somebody who asks."""
        return next((Departure(*told) for told in reversed(self.departed) if told[0] == key), None)
