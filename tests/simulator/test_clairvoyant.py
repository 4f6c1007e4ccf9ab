from itertools import combinations
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.simulator.clairvoyant import goodput_bound, most_in_time
from inference.simulator.durations import Executor


def can_all(at_s: list[float], deadline_s: list[float], executor: Executor, max_rows: int, free_s: float) -> bool:
    """Whether one server that is free from `free_s` can serve all, in every way of cutting them into batches."""
    if not at_s:
        return True
    for rows in range(1, min(max_rows, len(at_s)) + 1):
        end_s = max(free_s, at_s[rows - 1]) + executor.mean_s(rows)
        if end_s <= deadline_s[0] and can_all(at_s[rows:], deadline_s[rows:], executor, max_rows, end_s):
            return True
    return False


def try_everything(at_s: list[float], deadline_s: list[float], executor: Executor, max_rows: int) -> int:
    for count in range(len(at_s), 0, -1):
        for kept in combinations(range(len(at_s)), count):
            if can_all([at_s[i] for i in kept], [deadline_s[i] for i in kept], executor, max_rows, 0.0):
                return count
    return 0


small = st.lists(st.floats(0, 1), max_size=7).map(sorted)
executors = st.builds(Executor, st.floats(0.01, 0.3), st.floats(0.01, 0.2))


@given(small, st.floats(0.05, 0.8), executors, st.integers(1, 4))
@settings(max_examples=150)
def test_the_optimum_is_that_of_trying_everything(at_s, timeout_s: float, executor: Executor, max_rows: int) -> None:
    deadline_s = [moment + timeout_s for moment in at_s]
    assert most_in_time(at_s, deadline_s, executor, max_rows) == try_everything(at_s, deadline_s, executor, max_rows)


@given(st.lists(st.floats(0, 3), max_size=60).map(sorted), st.floats(0.05, 2), executors, st.integers(1, 16))
@settings(max_examples=150)
def test_no_schedule_beats_the_bound(at_s, timeout_s: float, executor: Executor, max_rows: int) -> None:
    deadline_s = [moment + timeout_s for moment in at_s]
    best = most_in_time(at_s, deadline_s, executor, max_rows)
    bound = goodput_bound(at_s, deadline_s, executor, 1, max_rows)
    assert best <= bound <= len(at_s)
    assert bound <= goodput_bound(at_s, deadline_s, executor, 3, max_rows)


def test_the_bound_is_close_where_batches_are_full() -> None:
    executor = Executor(0.010, 0.002)
    at_s = [i / 1300 for i in range(1300)]  # three times what one server does
    deadline_s = [moment + 0.25 for moment in at_s]
    best, bound = most_in_time(at_s, deadline_s, executor, 32), goodput_bound(at_s, deadline_s, executor, 1, 32)
    assert 0.95 * bound <= best <= bound


@pytest.mark.parametrize(
    "at_s, timeout_s, executor, max_rows, most",
    [
        ([0.15, 0.3, 1.0], 0.15000000000000002, Executor(0.05, 0.1), 3, 2),
        ([0.2, 0.2, 0.8], 0.30000000000000004, Executor(0.1, 0.1), 2, 3),
        ([0.0, 0.6666666666666666, 1.0], 0.1, Executor(0.05, 0.05), 1, 3),
        ([0.125, 0.7, 0.9], 0.2, Executor(0.05, 0.15), 2, 3),
    ],
)
def test_a_batch_that_ends_just_at_its_deadline_is_in_time_however_that_rounds(
    at_s: list[float], timeout_s: float, executor: Executor, max_rows: int, most: int
) -> None:
    deadline_s = [moment + timeout_s for moment in at_s]
    assert most_in_time(at_s, deadline_s, executor, max_rows) == most
    assert try_everything(at_s, deadline_s, executor, max_rows) == most
    assert goodput_bound(at_s, deadline_s, executor, 1, max_rows) >= most


def test_requests_without_deadlines_are_all_served() -> None:
    executor = Executor(0.010, 0.002)
    assert goodput_bound([0.0] * 100, [inf] * 100, executor, 1, 32) == 100
    assert goodput_bound([0.0, 1e9], [1.0, 1.7e308], executor, 1, 32) == 2
    with pytest.raises(ValueError, match="Arrivals"):
        goodput_bound([inf], [inf], executor, 1, 32)


def test_nothing_and_the_impossible() -> None:
    executor = Executor(0.010, 0.002)
    assert goodput_bound([], [], executor, 2, 32) == most_in_time([], [], executor, 32) == 0
    assert goodput_bound([0.0], [0.011], executor, 2, 32) == most_in_time([0.0], [0.011], executor, 32) == 0
    assert goodput_bound([0.0], [9.0], executor, 0, 32) == 0
    with pytest.raises(ValueError, match="ascend"):
        most_in_time([0.0, 1.0], [5.0, 4.0], executor, 32)
