from hypothesis import given
from hypothesis import strategies as st

from inference.policy.codel import Codel


def test_a_burst_is_absorbed_and_a_queue_that_stays_is_not() -> None:
    codel = Codel(target_s=0.1)
    assert codel.wait_limit_s(0.0) > 1e9
    for tenth in range(1, 10):
        codel.passed(0.5, tenth / 10)
    assert not codel.stands(1.0)
    assert codel.stands(1.1)
    assert codel.wait_limit_s(1.1) == 0.1


def test_one_who_came_through_quickly_or_an_empty_queue_ends_it() -> None:
    for end in (lambda codel: codel.passed(0.01, 5.0), lambda codel: codel.emptied(5.0)):
        codel = Codel(target_s=0.1)
        codel.stands(0.0)
        assert codel.stands(4.9)
        end(codel)
        assert not codel.stands(5.5)
        assert codel.stands(6.1)


def test_a_wait_at_the_target_that_it_keeps_itself_does_not_end_it() -> None:
    codel = Codel(target_s=0.1)
    codel.stands(0.0)
    codel.passed(0.09, 2.0)
    assert codel.stands(2.1)
    codel.passed(0.04, 2.2)
    assert not codel.stands(2.3)


@given(st.sampled_from([0.0, -1.0, float("nan")]), st.floats(0, 1e6))
def test_without_a_target_it_never_stands(target_s: float, now_s: float) -> None:
    codel = Codel(target_s)
    codel.stands(0.0)
    assert not codel.stands(now_s)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), max_size=30))
def test_a_clock_that_goes_back_is_no_time_passing(steps: list[tuple[float, float]]) -> None:
    codel, highest = Codel(target_s=0.1), 0.0
    for now_s, waited_s in steps:
        back = now_s < highest - 1.0 and now_s < codel.good_at_s
        if back:
            assert not codel.stands(now_s)
        codel.passed(waited_s, now_s)
        highest = max(highest, now_s)
        assert codel.wait_limit_s(now_s) > 0.0
