"""Looking again and again pays where waits are short; elsewhere a process sleeps."""

from hypothesis import given
from hypothesis import strategies as st

from inference.policy.polling import MOST_S, Polling

SHORT_S, LONG_S = 0.0002, 0.1


def after(*waits_s: float, longest_s: float = 0.0005) -> float:
    polling = Polling(longest_s)
    for wait_s in waits_s:
        polling.ended(wait_s)
    return polling.patience_s


def test_a_process_that_knows_nothing_sleeps() -> None:
    assert after() == 0.0


def test_short_waits_are_watched_and_long_ones_slept_through() -> None:
    assert after(*[SHORT_S] * 30) == 0.0005
    assert after(*[LONG_S] * 30) == 0.0
    assert after(*[SHORT_S] * 30, *[LONG_S] * 30) == 0.0
    assert after(*[LONG_S] * 30, *[SHORT_S] * 30) == 0.0005


def test_one_pause_does_not_end_it() -> None:
    assert after(*[SHORT_S] * 60, LONG_S) == 0.0005


def test_every_third_short_wait_is_too_few() -> None:
    assert after(*[SHORT_S, LONG_S, LONG_S] * 30) == 0.0


def test_it_can_be_left_out() -> None:
    assert after(*[SHORT_S] * 30, longest_s=0.0) == 0.0


@given(st.lists(st.floats(0, 10), max_size=60), st.floats(0, 10))
def test_patience_is_bounded_whatever_comes(waits_s: list[float], longest_s: float) -> None:
    assert 0.0 <= after(*waits_s, longest_s=longest_s) <= min(longest_s, MOST_S)
