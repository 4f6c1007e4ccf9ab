"""A hand-over loses nobody and keeps nobody twice, at whatever moment one looks, and moves few at a time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inference.policy.cache.adaptive import CANDIDATES
from inference.policy.cache.handover import MOVED, RELEASED, HandOver, dictionaries
from inference.policy.cache.registry import make_strategy
from inference.policy.cache.shadow import Shadow
from inference.policy.cache.store import Cache
from inference.spec import CachePolicy

NAMES = st.sampled_from(sorted(CANDIDATES))


def handing_over(before: str, after: str, requests: list[int], capacity: int) -> tuple[Shadow, HandOver]:
    shadow = Shadow(make_strategy(before))
    shadow.replay(requests, capacity)
    shadow.strategy = hand_over = HandOver(shadow.strategy, make_strategy(after))
    return shadow, hand_over


class AnyMoment(RuleBasedStateMachine):
    """A set knows who is there. New moves begin before old ones are done, so that hand-overs lie in one another."""

    @initialize(name=NAMES, requests=st.lists(st.integers(0, 60), max_size=200), capacity=st.integers(1, 50))
    def begin(self, name: str, requests: list[int], capacity: int) -> None:
        self.capacity = capacity
        shadow = Shadow(make_strategy(name))
        shadow.replay(requests, capacity)
        self.strategy, self.there = shadow.strategy, shadow.keys

    @rule(name=NAMES)
    def move(self, name: str) -> None:
        self.strategy = HandOver(self.strategy, make_strategy(name))

    @rule(key=st.integers(0, 60))
    def ask(self, key: int) -> None:
        if key in self.there:
            self.strategy.hit(key)
            return
        while len(self.there) >= self.capacity:
            self.there.remove(self.strategy.evict(key))
        self.strategy.add(key)
        self.there.add(key)

    @rule(incoming=st.integers(0, 60))
    @precondition(lambda self: self.there)
    def evict(self, incoming: int) -> None:
        self.there.remove(self.strategy.evict(incoming))

    @rule(data=st.data())
    @precondition(lambda self: self.there)
    def remove(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.there)))
        self.strategy.remove(key)
        self.there.remove(key)

    @invariant()
    def residents_are_those(self) -> None:
        assert sorted(self.strategy) == sorted(self.there)


AnyMoment.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyMoment = AnyMoment.TestCase


@settings(max_examples=50, deadline=None)
@given(before=NAMES, after=NAMES, requests=st.lists(st.integers(0, 400), min_size=300, max_size=600))
def test_it_is_done_after_an_eighth_of_the_residents_and_then_is_the_new_one(
    before: str, after: str, requests: list[int]
) -> None:
    shadow, hand_over = handing_over(before, after, requests, 100)
    turns = 0
    while hand_over.moving:
        shadow.replay([turns % 7], 100)
        turns += 1
    assert turns <= 100 // MOVED + 1
    remembered = sum(map(len, hand_over.leftovers))
    while not hand_over.done:
        shadow.replay([0], 100)
        turns += 1
    assert turns <= 100 // MOVED + 1 + remembered // RELEASED + len(dictionaries(hand_over.old))
    assert not any(dictionaries(hand_over.old))
    assert sorted(hand_over.new) == sorted(shadow.keys)


@pytest.mark.parametrize("before", CANDIDATES)
@pytest.mark.parametrize("after", CANDIDATES)
def test_one_operation_moves_few(before: str, after: str) -> None:
    shadow, hand_over = handing_over(before, after, [*range(3000), *range(2500, 3500)], 2000)
    left = len(list(hand_over.old))
    assert left == 2000
    for key in range(3400, 3800):
        shadow.replay([key], 2000)
        now = len(list(hand_over.old))
        assert left - now <= MOVED + 1  # whoever was asked for, or left, is the one more
        left = now
    assert not left


@pytest.mark.parametrize("before", CANDIDATES)
@pytest.mark.parametrize("after", CANDIDATES)
def test_one_operation_forgets_few_ghosts(before: str, after: str) -> None:
    shadow, hand_over = handing_over(before, after, [*range(3000), *range(2500, 3500)] * 3, 1000)
    remembered = sum(map(len, dictionaries(hand_over.old)))
    for key in range(10_000, 11_000):
        shadow.replay([key], 1000)
        now = sum(map(len, dictionaries(hand_over.old)))
        # A resident counts twice where hits are kept in a dictionary of their own.
        assert remembered - now <= max(RELEASED, 2 * (MOVED + 1))
        remembered = now
    assert not remembered


def test_who_would_have_left_first_still_does() -> None:
    shadow, hand_over = handing_over("lru", "arc", list(range(100)), 100)
    assert hand_over.evict(100) == 0
    shadow.keys.discard(0)
    shadow.replay([5], 100)  # moves on its own, and 1 to 9 without it
    assert next(iter(hand_over)) == 10
    assert hand_over.evict(101) == 10


def test_a_time_to_live_ends_during_a_move_as_at_any_time() -> None:
    policy = CachePolicy(strategy="lru", max_entries=50, max_bytes=10**6, ttl_s=10.0)
    cache: Cache[str] = Cache(policy)
    for key in range(1, 51):
        cache.put(key, str(key), key / 10)
    cache.strategy = hand_over = HandOver(cache.strategy, make_strategy("s3fifo"))
    assert cache.get(50, 6.0) == "50"
    assert hand_over.moving
    assert cache.get(1, 10.2) is None  # has moved
    assert cache.get(49, 14.95) is None  # has not
    assert cache.remove(40, 14.95)
    assert cache.sweep(14.95) == 46
    assert sorted(hand_over) == sorted(cache.entries) == [50]
    assert cache.get(50, 14.95) == "50"
    assert not hand_over.moving


def test_an_empty_one_hands_over_nothing() -> None:
    hand_over = HandOver(make_strategy("arc"), make_strategy("lru"))
    with pytest.raises(KeyError):
        hand_over.evict(1)
    with pytest.raises(KeyError):
        hand_over.remove(1)
    hand_over.add(1)
    assert list(hand_over) == [1]
