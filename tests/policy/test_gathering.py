"""A batch is held back while clients of the last one come back, never for long, and never for those who do not."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.policy.gathering import HOLD, PROMPT_S, Gathering

BASE_S = 0.004  # of which a quarter may be waited
ROWS = st.integers(1, 64)


def just_answered(rows: int, *, came: int = 0) -> Gathering:
    """At time 0, and `came` of the rows were asked again since."""
    gathering = Gathering()
    gathering.answered(rows, 0.0)
    gathering.arrived(came, 0.0)
    return gathering


def hold_s(
    gathering: Gathering,
    waiting: int,
    running: int = 0,
    replicas: int = 1,
    free_since_s: float = 0.0,
    now_s: float = 0.0,
) -> float:
    return gathering.hold_s(waiting, running, replicas, 32, BASE_S, free_since_s, now_s)


@pytest.mark.parametrize("answered, came, running, replicas, held", [
    (1, 1, 0, 1, False),  # a lone client
    (16, 8, 0, 2, False), (8, 8, 8, 2, False), (64, 32, 0, 1, False),  # a share, or a full batch
    (16, 1, 0, 2, True), (15, 7, 8, 2, True), (16, 1, 0, 1, True),  # most of it is still to come
    (15, 15, 1, 2, False),  # its twin runs one row: that will not come sooner for being waited for
])  # fmt: skip
def test_a_batch_is_held_back_while_its_share_is_coming(
    answered: int, came: int, running: int, replicas: int, held: bool
) -> None:
    assert (hold_s(just_answered(answered, came=came), came, running, replicas) > 0) is held


def test_the_wait_is_a_part_of_what_a_batch_costs_whatever_its_size() -> None:
    gathering = just_answered(16, came=1)
    assert hold_s(gathering, 1) == pytest.approx(HOLD * BASE_S)
    assert gathering.hold_s(1, 0, 1, 32, 100.0, 0.0, 0.0) == PROMPT_S
    assert gathering.hold_s(1, 0, 1, 32, 0.0, 0.0, 0.0) == 0.0


def test_a_replica_that_was_idle_already_is_not_held() -> None:
    gathering = just_answered(16, came=1)
    assert hold_s(gathering, 1, free_since_s=-HOLD * BASE_S) == 0.0
    assert hold_s(gathering, 1, free_since_s=-inf) == 0.0


def test_clients_that_do_not_ask_again_are_waited_for_a_few_times_only() -> None:
    gathering, held = Gathering(), []
    for number in range(40):  # one request every 50 ms, whoever was answered
        gathering.answered(8, number * 0.05)
        gathering.arrived(1, number * 0.05 + 0.03)
        held.append(hold_s(gathering, 1, now_s=number * 0.05, free_since_s=number * 0.05) > 0)
    assert held[0]
    assert not any(held[20:])


def test_clients_that_ask_again_at_once_are_waited_for_again_soon() -> None:
    gathering = Gathering()
    gathering.share = 0.0
    for number in range(6):
        gathering.answered(16, number * 0.05)
        gathering.arrived(16, number * 0.05 + 0.001)
    gathering.answered(16, 1.0)
    assert hold_s(gathering, 1, now_s=1.0, free_since_s=1.0) > 0


@given(st.lists(st.tuples(st.booleans(), ROWS, st.floats(0, 0.01)), max_size=40), ROWS, ROWS, st.integers(1, 8))
def test_no_hold_is_longer_than_the_limit_whatever_happened(
    events: list[tuple[bool, int, float]], waiting: int, running: int, replicas: int
) -> None:
    gathering, now_s = Gathering(), 0.0
    for answers, rows, later_s in events:
        now_s += later_s
        (gathering.answered if answers else gathering.arrived)(rows, now_s)
    assert 0.0 <= hold_s(gathering, waiting, running, replicas, now_s, now_s) <= HOLD * BASE_S
    assert 0.0 <= gathering.share <= 1.0
    assert hold_s(gathering, waiting, running, replicas, now_s, now_s + PROMPT_S) == 0.0
