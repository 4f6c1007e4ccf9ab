"""Shadows of a small cache learn, then rest for most of the time, unless whoever is in force falls behind."""

import pytest

from inference.policy.cache.adaptive import Adaptive
from inference.policy.cache.shadow import Shadow
from inference.policy.cache.turns import BEHIND, FILL, LEARN, REST, WATCH, Turn, Turns


def follow(turns: Turns, lengths: float, hits: tuple[int, int] = (0, 0)) -> list[tuple[Turn, int]]:
    """Turns and how many keys of capacity each took, with shadows of 100 keys, 10 requests at a time."""
    told: list[tuple[Turn, int]] = []
    for _ in range(int(10 * lengths)):
        turns.advance(10, 100, 0)
        if turns.turn is Turn.WATCH:
            turns.count(hits)
        if not told or told[-1][0] is not turns.turn:
            told.append((turns.turn, 0))
        told[-1] = turns.turn, told[-1][1] + 10
    return [(turn, round(requests / 100)) for turn, requests in told]


def test_they_learn_then_rest_fill_up_and_watch_by_turns() -> None:
    assert follow(Turns(2), LEARN + 2 * (REST + FILL + WATCH)) == [
        (Turn.WATCH, LEARN), (Turn.REST, REST), (Turn.FILL, FILL), (Turn.WATCH, WATCH),
        (Turn.REST, REST), (Turn.FILL, FILL), (Turn.WATCH, WATCH),
    ]  # fmt: skip


def test_they_do_not_rest_while_another_hits_more() -> None:
    assert follow(Turns(2), 300, hits=(0, 1)) == [(Turn.WATCH, 300)]
    assert follow(Turns(2), 300, hits=(1, 0)) != [(Turn.WATCH, 300)]


@pytest.mark.parametrize("behind, turn", [(int(100 * BEHIND), Turn.REST), (int(100 * BEHIND) + 1, Turn.WATCH)])
def test_a_small_loss_in_one_watch_keeps_nobody_awake(behind: int, turn: Turn) -> None:
    turns = Turns(2)
    turns.count((5, 5 + behind))
    turns.left = 0.0
    turns.advance(10, 100, 0)
    assert turns.turn is turn


def test_shadows_begin_anew_after_a_rest_only() -> None:
    turns = Turns(2)
    begun = [number for number in range(1, 1500) if turns.advance(10, 80, 0)]  # an eighth of a length each
    assert begun == [8 * (LEARN + REST) + 1, 8 * (LEARN + 2 * REST + FILL + WATCH) + 1]


@pytest.mark.parametrize("capacity, share", [(100, 0.5), (1000, 1.0)])
def test_a_small_cache_replays_less_than_its_sample_and_a_larger_one_all(capacity: int, share: float) -> None:
    shadow = Shadow(Adaptive())
    shadow.replay(range(100_000), capacity)
    adaptive = shadow.strategy
    assert isinstance(adaptive, Adaptive)
    sampled = 100_000 / (adaptive.mask + 1)
    assert (adaptive.judged < share * sampled) if share < 1.0 else (adaptive.judged > 0.95 * sampled)
