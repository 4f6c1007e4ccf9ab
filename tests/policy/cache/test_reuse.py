"""The advised time to live keeps the hits, and no longer than that needs."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.policy.cache.reuse import LADDER_S, MOST_KEYS, Reuse


def taught(gap_s: float, keys: int = 40, rounds: int = 60) -> Reuse:
    reuse = Reuse()
    for turn in range(rounds):
        for key in range(keys):
            reuse.observe(key, turn * gap_s)
    return reuse


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 5000)), max_size=120))
def test_hit_ratios_are_those_of_a_cache_without_limits(steps: list[tuple[int, float]]) -> None:
    reuse, now_s, hits = Reuse(), 0.0, dict.fromkeys(LADDER_S, 0)
    stored: dict[tuple[int, float], float] = {}
    for key, passed_s in steps:
        now_s += passed_s
        reuse.observe(key, now_s)
        for ttl_s in LADDER_S:
            if (key, ttl_s) in stored and now_s - stored[key, ttl_s] < ttl_s:
                hits[ttl_s] += 1
            else:
                stored[key, ttl_s] = now_s
    assert dict(reuse.hit_ratios()) == pytest.approx({ttl_s: hits[ttl_s] / max(1, len(steps)) for ttl_s in LADDER_S})


def test_it_advises_the_shortest_that_keeps_the_hits() -> None:
    advice = taught(gap_s=0.1).advise()
    assert advice.ttl_s == 3.0  # 1 s would store every tenth answer anew, 3 s every thirtieth
    assert "of the hits" in advice.reason


def test_longer_gaps_need_longer_lives() -> None:
    lives_s = [taught(gap_s).advise().ttl_s for gap_s in (0.1, 1.0, 50.0, 500.0)]
    assert None not in lives_s
    assert lives_s == sorted(lives_s)  # type: ignore[type-var]


@pytest.mark.parametrize("reuse, why", [
    (Reuse(), "only 0 requests"), (taught(1.0, keys=2, rounds=5), "only 10 requests"),
    (taught(1.0, keys=500, rounds=1), "no key came back"), (taught(1e6), "no key came back"),
])  # fmt: skip
def test_it_says_why_it_advises_nothing(reuse: Reuse, why: str) -> None:
    advice = reuse.advise()
    assert advice.ttl_s is None
    assert why in advice.reason


def test_it_follows_a_bounded_number_of_keys() -> None:
    reuse, chance = Reuse(), random.Random(5)
    for step in range(30_000):
        reuse.observe(chance.randrange(20_000), step * 0.01)
    assert len(reuse.keys) <= MOST_KEYS
    assert reuse.advise().ttl_s is not None


def test_a_clock_that_goes_back_makes_nothing_stale() -> None:
    reuse = Reuse()
    for now_s in (100.0, 0.0, 50.0):
        reuse.observe(1, now_s)
    assert reuse.hits == [2.0] * len(LADDER_S)
