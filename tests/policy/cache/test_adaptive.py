"""The adaptive strategy ends where the best one is, and says why it went there."""

import random

import pytest

from inference.policy.cache.adaptive import BATCH, FEWEST_KEYS, HORIZON, MOST_KEYS, WORTH, Adaptive, mask_for
from inference.policy.cache.registry import make_strategy
from inference.policy.cache.sampling import sampled
from inference.policy.cache.shadow import Shadow


def loop(keys: int, requests: int) -> list[int]:
    """What LRU can't: one key more than fits, over and over."""
    return [place % keys for place in range(requests)]


def conversations(requests: int) -> list[int]:
    """What frequency can't: a key is asked for a few times soon after it came, and never again."""
    chance = random.Random(1)
    return [place // 3 - int(chance.expovariate(0.01)) for place in range(requests)]


def popular(requests: int) -> list[int]:
    chance = random.Random(2)
    return [int(chance.paretovariate(0.7)) for _ in range(requests)]


def hits(name: str, keys: list[int], capacity: int) -> int:
    return Shadow(make_strategy(name)).replay(keys, capacity)


@pytest.mark.parametrize("keys, capacity", [
    (loop(600, 40_000), 500), (conversations(40_000), 300), (popular(40_000), 400),
])  # fmt: skip
def test_it_is_close_to_the_best_and_never_far_below_lru(keys: list[int], capacity: int) -> None:
    fixed = {name: hits(name, keys, capacity) for name in ("lru", "arc", "s3fifo", "wtinylfu", "sieve", "fifo")}
    found = hits("adaptive", keys, capacity)
    assert found >= max(fixed.values()) - 0.10 * len(keys)
    assert found >= fixed["lru"] - 0.005 * len(keys)


def test_it_moves_for_a_reason_that_it_remembers() -> None:
    shadow = Shadow(Adaptive())
    shadow.replay(loop(600, 30_000), 500)
    adaptive = shadow.strategy
    assert isinstance(adaptive, Adaptive)
    move = adaptive.moves[0]
    assert move.before == "arc"
    assert move.after == adaptive.moves[-1].after == adaptive.name != "lru"
    assert move.lead > 2.0 * move.deviation
    assert adaptive.rule.startswith(f"{adaptive.name}: ")


def test_it_stays_where_all_are_alike() -> None:
    """Nothing comes back, so nobody leads."""
    shadow = Shadow(Adaptive())
    shadow.replay(range(20_000), 500)
    assert isinstance(shadow.strategy, Adaptive)
    assert not shadow.strategy.moves


def test_a_move_keeps_every_resident() -> None:
    shadow = Shadow(Adaptive())
    for key in loop(600, 30_000):
        shadow.replay([key], 500)
        assert len(shadow.keys) <= 500
    assert sorted(shadow.strategy) == sorted(shadow.keys)


def test_no_other_move_begins_before_one_is_done() -> None:
    adaptive = Adaptive()
    shadow = Shadow(adaptive)
    under_way = 0
    for key in loop(6000, 60_000):
        moves, moving = len(adaptive.moves), adaptive.hand_over is not None
        shadow.replay([key], 5000)
        if moving:
            under_way += 1
            assert len(adaptive.moves) == moves
    assert under_way > 5000 / 8
    assert adaptive.hand_over is None
    assert sorted(adaptive) == sorted(shadow.keys)


def test_it_replays_to_the_same_moves() -> None:
    first, second = Shadow(Adaptive()), Shadow(Adaptive())
    for shadow in (first, second):
        shadow.replay(popular(20_000), 300)
    assert first.strategy.moves == second.strategy.moves  # type: ignore[attr-defined]
    assert list(first.strategy) == list(second.strategy)


@pytest.mark.parametrize("residents", [0, 1, 100, 10 * FEWEST_KEYS, 10 * MOST_KEYS, 10**6])
def test_shadows_are_small_however_large_the_cache(residents: int) -> None:
    mask = mask_for(residents)
    assert residents / (mask + 1) <= MOST_KEYS
    assert residents / (mask + 1) >= min(residents / 2, FEWEST_KEYS)


def test_a_growing_cache_thins_its_sample() -> None:
    shadow = Shadow(Adaptive())
    shadow.replay(range(60_000), 50_000)
    adaptive = shadow.strategy
    assert isinstance(adaptive, Adaptive)
    assert all(len(each.keys) <= 2 * MOST_KEYS for each in adaptive.shadows)
    assert adaptive.mask == mask_for(50_000)


def test_a_purge_is_no_smaller_cache() -> None:
    adaptive = Adaptive()
    shadow = Shadow(adaptive)
    shadow.replay(range(1000), 400)
    for key in list(adaptive):
        adaptive.remove(key)
    shadow.keys.clear()
    shadow.replay(range(300), 400)
    assert adaptive.room == 400
    assert len(shadow.keys) < 400


def test_a_sample_does_not_change_to_and_fro_with_what_fits() -> None:
    """By bytes, now 250 fit and now 270: two sides of a border between rates."""
    adaptive = Adaptive()
    shadow, masks = Shadow(adaptive), []
    for turn, start in enumerate(range(0, 20_000, 200)):
        shadow.replay(range(start, start + 200), (250, 270)[turn % 2])
        masks.append(adaptive.mask)
    assert sorted(set(masks)) == [1, 3]
    assert masks == sorted(masks)


def full(capacity: int) -> Adaptive:
    shadow = Shadow(Adaptive())
    shadow.replay(range(2 * capacity), capacity)
    assert isinstance(shadow.strategy, Adaptive)
    assert not shadow.strategy.moves
    return shadow.strategy


def weigh(adaptive: Adaptive, hits: list[int], batches: int) -> None:
    """So many batches in which the candidates hit so often, each of them told as soon as it is there."""
    for _ in range(batches):
        adaptive.weigh(hits, 1000)


def test_it_moves_only_for_what_a_move_is_worth_and_one_move_at_a_time() -> None:
    adaptive = full(4000)
    adaptive.batch.clear()  # so that nothing fades
    weigh(adaptive, [0, 1, 0, 0], int(WORTH * 1000))
    assert not adaptive.moves
    weigh(adaptive, [0, 1, 0, 0], 1)
    assert [move.after for move in adaptive.moves] == ["lru"]
    weigh(adaptive, [0, 0, 3, 0], 100)
    assert adaptive.name == "lru"
    adaptive.hand_over = None
    weigh(adaptive, [0, 0, 3, 0], 1)
    assert adaptive.name == "s3fifo"


def test_evidence_fades_and_shadows_hold_the_sample_alone() -> None:
    """Everything hits, for ten times as long as evidence lasts; the sample became smaller when the cache grew."""
    adaptive = Adaptive()
    shadow = Shadow(adaptive)
    for _ in range(3):
        shadow.replay(range(4000), 4000)
    assert adaptive.mask > mask_for(0)
    assert all(sampled(key, adaptive.mask) for each in adaptive.shadows for key in each.keys)
    for _ in range(10 * HORIZON):
        adaptive.batch = [1] * BATCH
        adaptive.weigh([BATCH] * 4, 16)
    assert max(adaptive.scores) == pytest.approx(HORIZON * 16, rel=0.001)
