"""The cache keeps its limits whatever is asked of it, and answers with what was stored last and is still fresh."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inference.policy.cache.admission import Admission
from inference.policy.cache.explain import explain, explain_strategy, promise
from inference.policy.cache.registry import STRATEGIES
from inference.policy.cache.store import Cache
from inference.spec import CachePolicy

KEYS = st.integers(1, 12)
EVERYTHING = Admission(max_share=1.0)


def make(strategy: str = "lru", entries: int = 3, size_bytes: int = 1000, ttl_s: float = 60.0) -> Cache[str]:
    policy = CachePolicy(enabled=True, strategy=strategy, max_entries=entries, max_bytes=size_bytes, ttl_s=ttl_s)
    return Cache(policy, EVERYTHING)


class AgainstADictionary(RuleBasedStateMachine):
    """A dictionary that forgets nothing knows all that a cache may say; the limits say how much it may hold."""

    @initialize(strategy=st.sampled_from(sorted(STRATEGIES)), entries=st.integers(0, 6), room=st.integers(0, 40))
    def begin(self, strategy: str, entries: int, room: int) -> None:
        self.cache = make(strategy, entries, room, ttl_s=10.0)
        self.stored: dict[int, tuple[str, float]] = {}
        self.now_s = 0.0
        self.serial = 0

    @rule(key=KEYS, size=st.integers(0, 50), ttl_s=st.sampled_from([None, 0.0, -1.0, 3.0, 1e9, float("nan")]))
    def put(self, key: int, size: int, ttl_s: float | None) -> None:
        self.serial += 1
        value = f"{key}-{self.serial}"
        refused = self.cache.put(key, value, self.now_s, size_bytes=size, ttl_s=ttl_s)
        self.stored.pop(key, None)
        if refused:
            assert key not in self.cache
        else:
            self.stored[key] = value, self.now_s + (10.0 if ttl_s is None else ttl_s)
            assert self.cache.get(key, self.now_s) == value

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        found = self.cache.get(key, self.now_s)
        if found is not None:
            value, expires_s = self.stored[key]
            assert found == value
            assert self.now_s < expires_s
        else:
            assert key not in self.cache

    @rule(key=KEYS)
    def remove(self, key: int) -> None:
        assert self.cache.remove(key, self.now_s) in (key in self.stored, False)
        self.stored.pop(key, None)
        assert self.cache.get(key, self.now_s) is None

    @rule(seconds=st.sampled_from([-5.0, 0.0, 0.5, 4.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(at_most=st.integers(0, 3))
    def sweep(self, at_most: int) -> None:
        assert self.cache.sweep(self.now_s, at_most) <= at_most

    @rule(key=KEYS)
    def ask_why(self, key: int) -> None:
        before = list(self.cache.strategy)
        told = explain(self.cache, key, self.now_s)
        assert (told.state in ("kept", "stale")) == (key in self.cache)
        assert told.reason
        assert list(self.cache.strategy) == before

    @invariant()
    def limits_hold(self) -> None:
        cache = self.cache
        assert len(cache) <= cache.policy.max_entries
        assert cache.size_bytes == sum(entry.size_bytes for entry in cache.entries.values()) <= cache.policy.max_bytes
        assert sorted(cache.strategy) == sorted(cache.entries)


AgainstADictionary.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAgainstADictionary = AgainstADictionary.TestCase


@pytest.mark.parametrize("entries, size_bytes", [(0, 1000), (10, 0), (0, 0)])
def test_without_room_nothing_is_stored_and_it_says_so(entries: int, size_bytes: int) -> None:
    cache = make(entries=entries, size_bytes=size_bytes)
    assert "the cache has no room" in cache.put(1, "a", 0.0)
    assert cache.get(1, 0.0) is None


def test_with_room_for_one_the_last_one_is_there() -> None:
    for strategy in STRATEGIES:
        cache = make(strategy, entries=1)
        for key in (1, 2, 3):
            assert cache.put(key, str(key), 0.0) == ""
        assert (cache.get(3, 0.0), cache.get(2, 0.0), len(cache)) == ("3", None, 1)


def test_what_is_larger_than_the_cache_pushes_nobody_out() -> None:
    cache = make(size_bytes=100)
    cache.put(1, "small", 0.0, size_bytes=60)
    assert "more than the whole cache, 100" in cache.put(2, "large", 0.0, size_bytes=101)
    assert cache.get(1, 0.0) == "small"


def test_by_default_one_answer_takes_an_eighth_at_most() -> None:
    cache: Cache[str] = Cache(CachePolicy(strategy="lru", max_bytes=800))
    assert cache.put(1, "a", 0.0, size_bytes=100) == ""
    assert "12.5% of the cache" in cache.put(2, "b", 0.0, size_bytes=101)


def test_as_many_leave_as_a_large_one_needs() -> None:
    cache = make(entries=10, size_bytes=100)
    for key in range(1, 6):
        cache.put(key, str(key), 0.0, size_bytes=20)
    cache.put(9, "large", 1.0, size_bytes=50)
    assert [key for key in range(1, 6) if key in cache] == [4, 5]
    assert cache.counters.evicted == 3


def test_a_refused_answer_does_not_leave_the_old_one_behind() -> None:
    """The caller has computed a newer one: better none than the one it meant to replace."""
    cache = make(size_bytes=100)
    cache.put(1, "old", 0.0, size_bytes=10)
    assert cache.put(1, "new", 0.0, size_bytes=1000)
    assert cache.get(1, 0.0) is None


def test_what_is_stale_makes_room_before_what_is_fresh() -> None:
    cache = make(entries=2)
    cache.put(1, "short", 0.0, ttl_s=5.0)
    cache.put(2, "long", 0.0)
    cache.get(1, 1.0)  # so that LRU alone would let 2 go
    cache.put(3, "new", 6.0)
    assert 1 not in cache
    assert cache.get(2, 6.0) == "long"


@pytest.mark.parametrize("now_s, value", [(9.999, "a"), (10.0, None), (-100.0, "a")])
def test_a_time_to_live_ends_when_it_is_over_and_not_before(now_s: float, value: str | None) -> None:
    cache = make(ttl_s=10.0)
    cache.put(1, "a", 0.0)
    assert cache.get(1, now_s) == value


def test_a_negative_size_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="-1 bytes"):
        make().put(1, "a", 0.0, size_bytes=-1)


def test_hits_add_up_what_they_saved() -> None:
    cache = make()
    cache.put(1, "a", 0.0, cost_s=0.25)
    for _ in range(4):
        cache.get(1, 1.0)
    cache.get(2, 1.0)
    assert cache.counters.saved_s == 1.0
    assert cache.counters.hit_ratio == 0.8


def test_it_says_why_a_key_is_kept() -> None:
    cache = make()
    for key in (1, 2, 3):
        cache.put(key, str(key), 0.0)
    cache.get(1, 2.0)
    told = explain(cache, 1, 10.0)
    assert (told.state, told.ahead) == ("kept", 2)
    assert told.reason == (
        "stored 10.0 s ago, asked for once since; 2 of 3 would leave before it "
        "(what was asked for least recently leaves first); fresh for another 50.0 s"
    )


def test_it_says_why_a_key_is_not_there() -> None:
    cache = make(entries=1, ttl_s=10.0)
    cache.put(0xA, "a", 0.0)
    cache.get(0xA, 1.0)
    cache.put(0xB, "b", 5.0)
    cache.get(0xB, 20.0)
    cache.put(0xC, "c", 20.0)
    cache.remove(0xC, 21.0)
    assert explain(cache, 0xA, 6.0).reason == (
        "left 1.0 s ago after 5.0 s, asked for once; made room for b: what was asked for least recently leaves first"
    )
    assert explain(cache, 0xB, 20.0).state == "expired"
    assert explain(cache, 0xC, 21.0).state == "removed"
    assert explain(cache, 0xD, 21.0).state == "unknown"


def test_it_says_what_more_room_would_bring() -> None:
    told = promise({100: 0.40, 200: 0.52, 50: 0.31}, 100)
    assert [(each.size, round(each.points, 6)) for each in told] == [(50, -9.0), (100, 0.0), (200, 12.0)]


def test_it_says_which_strategy_decides_and_how_it_came_to() -> None:
    cache = make("adaptive", entries=100, size_bytes=10**6, ttl_s=1e9)
    assert len(explain_strategy(cache)) == 1
    for key in list(range(130)) * 60:
        if cache.get(key, 0.0) is None:
            cache.put(key, "", 0.0)
    now, *moves = explain_strategy(cache)
    assert not now.startswith("arc: ")
    assert moves[-1].startswith("from arc to ")
    assert "standard deviations" in moves[-1]
    assert len(explain_strategy(make("lru"))) == 1
