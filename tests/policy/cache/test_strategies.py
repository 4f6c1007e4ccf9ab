"""Each strategy evicts whom its paper says, and none ever loses count of who is there."""

from collections import OrderedDict
from enum import Enum
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy.cache.references import REFERENCES

from bench.cache.traces import read_trace
from inference.policy.cache import s3fifo, wtinylfu
from inference.policy.cache.registry import STRATEGIES, make_strategy
from inference.policy.cache.shadow import Shadow

TRACES = Path(__file__).with_name("traces")
requests = st.lists(st.integers(0, 14), max_size=80)
capacities = st.integers(1, 12)


@pytest.mark.parametrize("name", REFERENCES)
@settings(max_examples=50, deadline=None)
@given(requests=requests, capacity=capacities)
def test_it_keeps_whom_the_plain_reference_keeps(name: str, requests: list[int], capacity: int) -> None:
    if name == "wtinylfu":
        requests = requests[: 4 * capacity]  # before counts age and the window steps, which the reference never does
    reference, shadow = REFERENCES[name](capacity), Shadow(make_strategy(name))
    for key in requests:
        assert shadow.replay([key], capacity) == reference.ask(key)
        assert shadow.keys == set(reference.residents())


@pytest.mark.parametrize("name", ["fifo", "lru", "sieve"])
@settings(max_examples=50, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 10), st.booleans()), max_size=80), capacity=capacities)
def test_what_is_removed_in_between_changes_no_order(name: str, steps: list[tuple[int, bool]], capacity: int) -> None:
    reference, shadow = REFERENCES[name](capacity), Shadow(make_strategy(name))
    for key, removes in steps:
        if removes and key in shadow.keys:
            reference.remove(key)  # type: ignore[attr-defined]
            shadow.strategy.remove(key)
            shadow.keys.discard(key)
        else:
            assert shadow.replay([key], capacity) == reference.ask(key)
        assert shadow.keys == set(reference.residents())


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 20), st.sampled_from("aaaare"))), capacity=capacities)
def test_residents_are_those_added_less_those_gone(name: str, steps: list[tuple[int, str]], capacity: int) -> None:
    """Also where several leave for one newcomer, as by bytes, or without any newcomer that follows."""
    strategy, there = make_strategy(name), set[int]()
    for key, step in steps:
        if step == "r" and key in there:
            strategy.remove(key)
            there.discard(key)
        elif step == "e" and there:
            victim = strategy.evict(key)
            assert victim in there
            there.discard(victim)
        elif key in there:
            strategy.hit(key)
        else:
            if len(there) >= capacity:
                there.discard(strategy.evict(key))
            strategy.add(key)
            there.add(key)
        assert sorted(strategy) == sorted(there)


def test_sieve_begins_again_with_the_spared_where_all_that_was_ahead_was_removed() -> None:
    sieve = make_strategy("sieve")
    for key in (1, 2, 3):
        sieve.add(key)
    sieve.hit(1)
    assert sieve.evict(4) == 2  # the hand has spared 1; 3 is ahead
    sieve.remove(3)
    assert sieve.evict(4) == 1


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_empty_one_has_nothing_to_evict_and_nothing_to_remove(name: str) -> None:
    with pytest.raises(KeyError):
        make_strategy(name).evict(1)
    with pytest.raises(KeyError):
        make_strategy(name).remove(1)


@pytest.mark.parametrize("name", STRATEGIES)
@given(asked=requests, capacity=capacities, stranger=st.integers(0, 20))
def test_to_remove_a_stranger_fails_and_changes_nothing(
    name: str, asked: list[int], capacity: int, stranger: int
) -> None:
    """A hand-over asks so who has moved."""
    shadow, undisturbed = Shadow(make_strategy(name)), Shadow(make_strategy(name))
    for each in (shadow, undisturbed):
        each.replay(asked, capacity)
    if stranger not in shadow.keys:
        with pytest.raises(KeyError):
            shadow.strategy.remove(stranger)
    assert list(shadow.strategy) == list(undisturbed.strategy)
    assert shadow.replay(asked, capacity) == undisturbed.replay(asked, capacity)
    assert list(shadow.strategy) == list(undisturbed.strategy)


@pytest.mark.parametrize("name, shifted", [("s3fifo", s3fifo.SHIFTED), ("wtinylfu", wtinylfu.SHIFTED)])
def test_what_a_full_one_sorts_out_at_its_first_evictions_is_bounded(name: str, shifted: int) -> None:
    """All 10,000 lie in one queue by then, and a tenth or nearly all belong into another."""
    strategy = make_strategy(name)
    for key in range(10_000):
        strategy.add(key)
    sizes = []
    for key in range(10_000, 10_005):
        strategy.evict(key)
        strategy.add(key)
        sizes.append([len(queue) for queue in vars(strategy).values() if isinstance(queue, OrderedDict)])
    moved = [max(abs(now - then) for then, now in zip(*pair, strict=True)) for pair in pairwise(sizes)]
    assert 0 < max(moved) <= shifted + 1


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_remembers_no_more_than_it_should_of_what_is_gone(name: str) -> None:
    """A million different keys through a cache of 100 leave ghosts and counts of about a thousand."""
    shadow = Shadow(make_strategy(name))
    shadow.replay(range(50_000), 100)
    assert len(shadow.keys) == 100
    assert size_of(shadow.strategy) < 20_000


def size_of(thing: object) -> int:
    """Keys in all containers, however deep."""
    if isinstance(thing, dict):
        return len(thing) + sum(size_of(value) for value in thing.values())
    if isinstance(thing, Enum):
        return 0
    if isinstance(thing, (list, set)):
        return len(thing) + sum(size_of(value) for value in thing)
    return sum(size_of(value) for value in vars(thing).values()) if hasattr(thing, "__dict__") else 0


# Hits measured with libcachesim 0.3.5 on the excerpts, from the first request on.
@pytest.mark.parametrize("file, format, capacity, name, hits", [
    ("web12.u32be.xz", "u32be", 200, "lru", 7596), ("web12.u32be.xz", "u32be", 200, "lfu", 4893),
    ("web12.u32be.xz", "u32be", 200, "fifo", 7208), ("web12.u32be.xz", "u32be", 200, "sieve", 7938),
    ("web12.u32be.xz", "u32be", 1000, "lru", 10769), ("web12.u32be.xz", "u32be", 1000, "lfu", 9142),
    ("web12.u32be.xz", "u32be", 1000, "fifo", 10292), ("web12.u32be.xz", "u32be", 1000, "sieve", 11097),
    ("web12.u32be.xz", "u32be", 1000, "s3fifo", 11099), ("mooncake.jsonl.xz", "mooncake", 4000, "lru", 2165),
    ("mooncake.jsonl.xz", "mooncake", 4000, "sieve", 2256), ("mooncake.jsonl.xz", "mooncake", 4000, "s3fifo", 3091),
    ("mooncake.jsonl.xz", "mooncake", 4000, "arc", 2280),
])  # fmt: skip
def test_it_hits_as_often_as_libcachesim(file: str, format: str, capacity: int, name: str, hits: int) -> None:
    keys = read_trace(TRACES / file, format)
    assert Shadow(make_strategy(name)).replay(keys, capacity) == hits


@pytest.mark.parametrize("capacity, theine", [(200, 6946), (1000, 10479)])
def test_wtinylfu_hits_no_less_than_theine(capacity: int, theine: int) -> None:
    keys = read_trace(TRACES / "web12.u32be.xz", "u32be")
    assert Shadow(make_strategy("wtinylfu")).replay(keys, capacity) >= theine


def test_an_unknown_strategy_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="no cache strategy 'mru'; there are lru, lfu"):
        make_strategy("mru")
