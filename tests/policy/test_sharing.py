"""Replicas of a unit end up with equal shares, in batches that are large enough for the traffic and no larger."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.policy.sharing import HEADROOM, WINDOW_S, ArrivalRate, fair_rows, sustaining_rows

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


RATES = st.floats(0, 1e6)
SECONDS = st.floats(0, 1)


@given(RATES, SECONDS, SECONDS, st.integers(1, 8), st.integers(1, 64))
def test_the_smallest_batch_that_keeps_up_is_found(
    rate: float, base_s: float, row_s: float, replicas: int, most: int
) -> None:
    def keeps_up(rows: int) -> bool:
        return replicas * rows >= HEADROOM * rate * (base_s + row_s * rows) * (1 - 1e-9)

    rows = sustaining_rows(rate, base_s, row_s, replicas, most)
    assert 1 <= rows <= most
    assert rows == most or keeps_up(rows)
    assert (
        rows == 1
        or not keeps_up(rows - 1)
        or replicas * (rows - 1) <= HEADROOM * rate * (base_s + row_s * (rows - 1)) * (1 + 1e-9)
    )


def test_a_replica_does_not_take_all_that_waits_where_less_keeps_up() -> None:
    assert fair_rows(waiting=8, running=12, free=1, replicas=2, max_size=32) == 8
    assert fair_rows(waiting=8, running=12, free=1, replicas=2, max_size=32, enough=3) == 4
    assert fair_rows(waiting=8, running=12, free=1, replicas=2, max_size=32, enough=6) == 6
    assert fair_rows(waiting=8, running=12, free=1, replicas=1, max_size=32, enough=1) == 8


def test_a_rate_is_unknown_for_a_moment_and_then_follows_what_arrives() -> None:
    rate = ArrivalRate()
    assert rate.read(0, 100.0) == float("inf")
    assert rate.read(50, 100.0 + WINDOW_S / 2) == float("inf")
    assert rate.read(100, 101.0) == pytest.approx(100)
    assert rate.read(100, 101.1) == pytest.approx(100)  # nothing is told of so short a time
    for second in range(2, 20):
        found = rate.read(100 + 500 * (second - 1), 100.0 + second)
    assert found == pytest.approx(500, rel=0.01)
    assert rate.read(0, 50.0) == found  # the clock went back


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1000)), max_size=30))
def test_a_rate_is_never_more_than_all_that_came_in_the_shortest_window(steps: list[tuple[float, int]]) -> None:
    rate, now_s, rows = ArrivalRate(), 0.0, 0
    for later_s, arrived in steps:
        now_s, rows = now_s + later_s, rows + arrived
        found = rate.read(rows, now_s)
        assert found == float("inf") or 0.0 <= found <= rows / WINDOW_S
