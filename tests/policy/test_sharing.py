"""Replicas of a unit end up with equal shares, and none waits for what does not come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.policy.sharing import (
    GATHER_MOST_S,
    fading_rows,
    fair_rows,
    gather_limit_s,
    gather_s,
)

ROWS = st.integers(1, 500)


@given(ROWS, st.integers(0, 500), st.integers(1, 8), st.integers(0, 8), st.integers(1, 64))
def test_a_batch_has_rows_and_no_more_than_wait_or_fit(
    waiting: int, running: int, free: int, busy: int, most: int
) -> None:
    rows = fair_rows(waiting, running, free, free + busy, most)
    assert 1 <= rows <= min(waiting, most)


@given(ROWS, st.integers(1, 8), st.integers(1, 64))
def test_idle_replicas_take_all_that_waits_between_them(waiting: int, free: int, most: int) -> None:
    left = waiting
    for replicas_left in range(free, 0, -1):
        if left:
            left -= fair_rows(left, 0, replicas_left, replicas_left, most)
    assert left == max(0, waiting - free * most)


def test_a_replica_leaves_the_share_of_its_twin_that_runs_a_single_row() -> None:
    assert fair_rows(waiting=15, running=1, free=1, replicas=2, max_size=32) == 8


def test_sixteen_clients_of_two_replicas_come_to_eight_each_from_however_uneven_a_start() -> None:
    held = [1, 15]
    waiting = 0
    for _ in range(6):
        for place in (0, 1):  # one answers: its clients come back, and it takes its share
            waiting += held[place]
            held[place] = 0
            held[place] = fair_rows(waiting, sum(held), 1, 2, 32)
            waiting -= held[place]
    assert held == [8, 8]


@pytest.mark.parametrize("base_s, limit_s", [(0.0, 0.0), (0.0001, 0.000025), (0.004, 0.001), (1.0, GATHER_MOST_S)])
def test_the_wait_is_a_part_of_what_a_batch_costs_whatever_its_size(base_s: float, limit_s: float) -> None:
    assert gather_limit_s(base_s) == pytest.approx(limit_s)


@pytest.mark.parametrize("waiting, coming, replicas, held", [
    (1, 0, 1, False),  # a lone client
    (1, 1, 2, False), (8, 8, 2, False), (32, 100, 2, False),  # a share, or a full batch
    (1, 15, 2, True), (7, 8, 2, True), (1, 15, 1, True),  # most of it is still to come
])  # fmt: skip
def test_a_batch_is_held_back_while_its_share_is_coming(waiting: int, coming: int, replicas: int, held: bool) -> None:
    assert (gather_s(waiting, coming, replicas, 32, left_s=0.001) > 0) is held
    assert gather_s(waiting, coming, replicas, 32, left_s=-0.001) == 0


@given(st.floats(-100, 1000), st.floats(0, 1))
def test_rows_that_were_to_return_are_forgotten_within_the_longest_wait(rows: float, age_s: float) -> None:
    left = fading_rows(rows, age_s)
    assert 0 <= left <= max(0.0, rows)
    assert left == 0 or age_s < GATHER_MOST_S
    assert fading_rows(8, 0.0) == 8
