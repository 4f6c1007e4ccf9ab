import random

from hypothesis import given
from hypothesis import strategies as st

from inference.policy.canary.keys import KeysSeen, key_hash
from inference.policy.routing import sticky_point


def test_a_key_is_evidence_once():
    seen = KeysSeen()
    assert [seen.first(key_hash(name)) for name in ("a", "b", "a", "a")] == [True, True, False, False]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=300))
def test_no_key_counts_twice_and_memory_is_bounded(keys: list[int]):
    seen = KeysSeen(most=16)
    counted = [key for key in keys if seen.first(key)]
    assert len(counted) == len(set(counted))
    assert len(seen.held) < 16


def test_of_many_keys_a_sample_goes_on_being_evidence():
    seen, chance = KeysSeen(most=1000), random.Random(1)
    counted = sum(seen.first(chance.getrandbits(64)) for _ in range(50_000))
    assert 2000 < counted < 5000  # about half of 1000 more with each doubling of the keys


def test_sampling_has_nothing_to_do_with_routing():
    """Among keys of the lower half of one hash, the other hash is spread as ever."""
    names = [f"client-{number}" for number in range(4000)]
    sampled = [name for name in names if key_hash(name) < 2**63]
    canary = sum(sticky_point(0x5A17, name) < 0.1 for name in sampled)
    assert abs(canary / len(sampled) - 0.1) < 0.03


def test_what_two_places_saw_merges_under_the_tighter_bound():
    mine, theirs = KeysSeen(held={1, 2, 900}), KeysSeen(held={3, 4}, bound=500)
    mine.merge(theirs)
    assert mine.held == {1, 2, 3, 4}
    assert mine.bound == 500
