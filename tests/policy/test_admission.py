from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.policy.admission import TRUST_S, Admission
from inference.policy.batching import LatencyModel


def admission_of(slots: int = 2, noise: float = 0.0) -> Admission:
    """Batches of up to 32 rows, l(b) = 10 ms + 2 ms·b, so 74 ms for a full one."""
    admission = Admission(LatencyModel(), 32)
    admission.slots = slots
    for turn in range(400):
        rows = 1 + turn % 32
        factor = 1.0 + noise * (1 if turn % 2 else -1)
        admission.batch_ended("warm-up", rows, (0.010 + 0.002 * rows) * factor, 0.0)
    return admission


def test_nobody_is_refused_on_a_guess() -> None:
    admission = Admission(LatencyModel(), 32)
    assert not admission.trusted(0.0)
    assert admission.answer_s(3, 10_000, 1, 0.0) == (0.0, 0.0)
    assert admission.capacity == inf


def test_a_model_that_heard_nothing_for_long_is_not_trusted() -> None:
    admission = admission_of()
    assert admission.trusted(TRUST_S - 0.01)
    assert not admission.trusted(TRUST_S + 0.01)


@pytest.mark.parametrize(
    "ahead, busy, wait_s",
    [
        (0, [], 0.0),
        (31, [], 0.0),
        (32, [], 0.0),  # the second replica is idle too
        (64, [], 0.074),  # both take one at once; the third batch follows them
        (63, [2], 0.014),  # one is idle and takes those ahead; the other is free sooner
        (64, [2], 0.074),
        (160, [], 0.148),
        (192, [], 0.222),
        (0, [32], 0.0),
        (0, [32, 32], 0.074),
        (32, [32, 1], 0.074),  # the one that is free first takes those ahead
        (64, [32, 32], 0.148),
        (96, [32, 32], 0.148),
    ],
)
def test_the_wait_is_read_from_what_is_ahead_and_what_runs(ahead: int, busy: list[int], wait_s: float) -> None:
    admission = admission_of()
    for name, rows in enumerate(busy):
        admission.batch_started(name, rows, 0.0)
    assert admission.wait_s(3, ahead, 0.0) == pytest.approx(wait_s, abs=0.001)


def test_a_batch_sent_ahead_ends_after_the_one_before_it() -> None:
    admission = admission_of(slots=1)
    admission.batch_started("first", 32, 0.0)
    admission.batch_started("second", 1, 0.0, behind="first")
    assert admission.wait_s(3, 0, 0.0) == pytest.approx(0.074 + 0.012, abs=0.001)
    assert admission.wait_s(3, 32, 0.0) == pytest.approx(0.074 + 0.012 + 0.074, abs=0.001)
    admission.batch_started("third", 1, 0.5, behind="gone")
    assert admission.ends["third"] == pytest.approx(0.512, abs=0.001)


def test_batches_that_never_get_full_make_the_wait_longer() -> None:
    admission = admission_of(slots=1)
    admission.batch_started("running", 32, 0.0)
    before_s = admission.wait_s(3, 330, 0.0)
    for _ in range(200):
        admission.note_packed(20)  # requests of 20 rows: two never fit into 32
    admission.batch_ended("other", 20, 0.050, 0.0)
    assert admission.wait_s(3, 330, 0.0) == pytest.approx(0.074 + 16 * 0.050, rel=0.05)
    assert before_s == pytest.approx(0.074 + 10 * 0.074, rel=0.05)


def test_an_overdue_batch_is_expected_to_be_as_late_again() -> None:
    admission = admission_of(slots=1)
    admission.batch_started("stuck", 32, 0.0)
    assert admission.wait_s(3, 0, 0.5) == pytest.approx(0.5 - 0.074, abs=0.001)


def test_a_lost_batch_is_forgotten_and_teaches_nothing() -> None:
    admission = admission_of(slots=1)
    before = admission.model.predict_s(32)
    admission.batch_started("lost", 32, 0.0)
    admission.batch_lost("lost")
    admission.batch_lost("never seen")
    assert admission.wait_s(3, 0, 0.0) == 0.0
    assert admission.model.predict_s(32) == before


def test_a_level_sees_what_those_above_it_leave() -> None:
    admission = admission_of(slots=1)
    for step in range(1, 100):
        admission.arrived[1] += 22  # of the 32 rows that it could serve in that time
        admission.batch_ended("x", 32, 0.074, step * 0.074)
    admission.batch_started("y", 32, 10.0)
    assert admission.wait_s(1, 0, 10.0) == pytest.approx(0.074, abs=0.002)
    assert admission.wait_s(4, 0, 10.0) == pytest.approx(0.074 / (1 - 22 / 32), rel=0.1)


def test_a_flood_above_leaves_a_level_a_little() -> None:
    admission = admission_of(slots=1)
    for step in range(1, 100):
        admission.arrived[1] += 10_000
        admission.batch_ended("x", 32, 0.074, step * 0.074)
    admission.batch_started("y", 32, 10.0)
    assert 0.0 < admission.wait_s(5, 0, 10.0) < inf


def test_a_batch_leaves_time_for_urgent_work_that_may_come() -> None:
    admission = admission_of(slots=1)
    assert admission.rows_for(5, 32) == 32
    admission.note_arrival(1, 1, 0.060)
    assert 1 <= admission.rows_for(5, 32) < 32
    assert admission.model.bound_s(admission.rows_for(5, 32)) < 0.060
    assert admission.rows_for(1, 32) == 32
    admission.note_arrival(1, 1, 0.013)  # just possible
    assert admission.rows_for(5, 32) == 1


def test_an_urgent_deadline_that_nobody_could_meet_shortens_no_batch() -> None:
    admission = admission_of(slots=1)
    for left_s in (0.001, 0.0, -1.0, float("nan")):
        admission.note_arrival(1, 1, left_s)
    assert admission.rows_for(5, 32) == 32


@pytest.mark.parametrize("rows_a_batch, shortened", [(0.0, False), (0.1, False), (1.0, True)])
def test_batches_are_not_shortened_for_the_little_urgent_work_that_it_would_save(
    rows_a_batch: float, shortened: bool
) -> None:
    """With more than can be served arriving; one-row batches would serve 83 rows a second instead of 432."""
    admission, urgent = admission_of(slots=1), 0.0
    for step in range(1, 400):
        urgent += rows_a_batch
        admission.note_arrival(5, 100, 1.0)
        if urgent >= 1.0:
            admission.note_arrival(1, 1, 0.0125)
            urgent -= 1.0
        admission.batch_ended("x", 32, 0.074, step * 0.074)
    assert (admission.rows_for(5, 32) < 32) is shortened


def test_an_urgent_deadline_is_forgotten_although_others_of_its_level_still_come() -> None:
    admission = admission_of(slots=1)
    admission.note_arrival(1, 1, 0.05)
    for step in range(1, 220):
        admission.note_arrival(1, 1, 2.0)
        admission.batch_ended("x", 32, 0.074, step * 0.074)
        if step == 90:
            assert admission.soonest_s[1] == 0.05
    assert admission.soonest_s[1] == 2.0


def test_a_short_batch_costs_what_could_have_been_served_meanwhile() -> None:
    idle, busy = admission_of(slots=1), admission_of(slots=1)
    for step in range(1, 100):
        busy.arrived[3] += 100
        busy.batch_ended("x", 32, 0.074, step * 0.074)
    assert idle.net_rows(4) == 4
    assert busy.net_rows(4) < 0 < 0.5 + busy.net_rows(32)


def test_what_arrives_while_the_clock_hardly_moves_is_no_rate() -> None:
    admission = Admission(LatencyModel(), 32)
    admission.slots = 1
    for now_s in (0.0, 5e-324):
        admission.note_arrival(1, 100, inf)
        admission.batch_ended("of no time", 1, 0.0, now_s)
    assert admission.demand == 0.0
    admission.batch_ended("of one second", 1, 1.0, 1.0)
    admission.batch_started("at work", 1, 1.0)
    assert admission.demand == 200.0
    assert admission.answer_s(1, 0, 1, 1.0)[1] < inf


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 40), st.floats(0, 10) | st.just(float("nan"))), max_size=30),
    st.integers(0, 4),
    st.integers(0, 10_000),
)
def test_whatever_the_clock_and_the_batches_say_the_answer_is_a_time(
    batches: list[tuple[float, int, float]], slots: int, ahead: int
) -> None:
    admission = Admission(LatencyModel(), 32)
    admission.slots = slots
    for number, (now_s, rows, seconds) in enumerate(batches):
        admission.arrived[1 + number % 5] += rows
        admission.batch_started(number, rows, now_s)
        if number % 3:
            admission.batch_ended(number, rows, seconds, now_s)
    for level in range(1, 6):
        wait_s, answer_s = admission.answer_s(level, ahead, 3, 5.0)
        assert 0.0 <= wait_s <= answer_s < inf
        assert 1 <= admission.rows_for(level, 32) <= 32
