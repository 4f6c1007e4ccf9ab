"""Replicas of a unit end up with equal shares."""

from hypothesis import given
from hypothesis import strategies as st

from inference.policy.sharing import fair_rows

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
