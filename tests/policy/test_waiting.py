"""What the queue of a unit promises, whatever comes in whatever order."""

from collections.abc import Hashable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.policy.admission import Admission
from inference.policy.batching import LatencyModel
from inference.policy.codel import Codel
from inference.policy.waiting import Reason, WaitingLine


class Work:
    def __init__(self, deadline_s: float, level: int = 3, rows: int = 1, caller: Hashable = "a", queued_s: float = 0.0):
        self.level, self.rows, self.caller = level, rows, caller
        self.queued_s, self.deadline_s = queued_s, deadline_s
        self.size_bytes = rows * 100
        self.gone = False


def line_of(known: bool = True, max_requests: int = 512, fair: bool = True, codel: Codel | None = None) -> WaitingLine:
    """One replica; l(b) = 10 ms + 2 ms·b up to 32 rows, known exactly."""
    admission = Admission(LatencyModel(), 32)
    admission.slots = 1
    for turn in range(400 if known else 0):
        rows = 1 + turn % 32
        admission.batch_ended("warm-up", rows, 0.010 + 0.002 * rows, 0.0)
    return WaitingLine(admission, max_requests, codel, fair)


def reasons(leavers) -> list[Reason]:
    return [leaver.reason for leaver in leavers]


def test_the_urgent_come_first_and_then_the_nearest_deadline() -> None:
    line = line_of(known=False)
    works = [Work(9.0), Work(5.0), Work(7.0, level=1), Work(8.0, level=5), Work(6.0)]
    for work in works:
        assert line.offer(work, 0.0) == ()
    assert list(line) == [works[2], works[1], works[4], works[0], works[3]]
    assert line.take(32, 32, 0.0).works == [works[2], works[1], works[4], works[0], works[3]]
    assert (line.count, line.rows) == (0, 0)


def test_equal_deadlines_keep_their_order() -> None:
    line, works = line_of(known=False), [Work(5.0) for _ in range(5)]
    for work in works:
        line.offer(work, 0.0)
    assert line.take(3, 32, 0.0).works == works[:3]


def test_one_that_would_be_late_is_refused_as_it_comes_and_told_when_to_try_again() -> None:
    line = line_of()
    line.admission.batch_started("running", 32, 0.0)
    accepted = [line.offer(Work(0.25), 0.0) for _ in range(200)]
    refused = [leavers for leavers in accepted if leavers]
    assert 60 <= 200 - len(refused) <= 96  # (250 - 74 - 74) / 74 batches of 32 before it, and a part of its own
    assert {one[0].reason for one in refused} == {Reason.LATE}
    assert refused[0][0].retry_after_s > 0.0
    assert line.offer(Work(3.0), 0.0) == ()


def test_no_replica_is_given_what_it_cannot_do_in_time() -> None:
    line = line_of()
    late, fine = Work(0.005), Work(1.0)
    for work in (late, fine):
        line.put(work)
    batch = line.take(32, 32, 0.0)
    assert batch.works == [fine]
    assert [(one.work, one.reason) for one in batch.leavers] == [(late, Reason.LATE)]


def test_a_batch_is_cut_to_what_its_first_can_bear() -> None:
    line = line_of()
    line.put(Work(0.031))
    for _ in range(31):
        line.put(Work(1.0))
    batch = line.take(32, 32, 0.0)
    assert batch.rows == 10
    assert not batch.leavers


def busy_line(rows_a_batch: int) -> WaitingLine:
    """So many rows come in the time of a full batch, for a while; batches take 5 % more or less than they should."""
    line = line_of()
    for step in range(1, 200):
        line.admission.note_arrival(3, rows_a_batch, 1.0)
        line.admission.batch_ended("x", 32, 0.074 * (1.05 if step % 2 else 0.95), step * 0.074)
    return line


def test_what_may_come_too_late_is_tried_only_while_there_is_time_for_it() -> None:
    """A row takes 12 ms, and 99.9 % of the time no more than 14: a deadline of 13 ms is likely to be kept."""
    now_s = 199 * 0.074
    idle, busy = busy_line(2), busy_line(30)
    assert idle.admission.model.predict_s(1) < 0.013 < idle.admission.model.bound_s(1)
    assert idle.offer(Work(now_s + 0.013), now_s) == ()
    assert idle.take(32, 32, now_s).rows == 1
    assert reasons(idle.offer(Work(now_s + 0.011), now_s)) == [Reason.LATE]
    assert reasons(busy.offer(Work(now_s + 0.013), now_s)) == [Reason.LATE]


def test_a_try_runs_alone() -> None:
    now_s = 199 * 0.074
    line = busy_line(2)
    for left_s in (0.013, 0.5, 0.5):
        line.put(Work(now_s + left_s))
    assert [line.take(32, 32, now_s).rows for _ in range(2)] == [1, 2]
    assert line.admission.model.predict_s(2) < 0.0145 < line.admission.model.bound_s(2)
    line.put(Work(now_s + 0.0145))
    line.put(Work(now_s + 0.5, level=1))
    assert [line.take(32, 32, now_s).rows for _ in range(2)] == [1, 1]


def test_under_overload_one_is_lost_rather_than_many() -> None:
    line = line_of()
    for step in range(1, 50):
        line.admission.arrived[3] += 100
        line.admission.batch_ended("x", 32, 0.074, step * 0.074)
    line.put(Work(3.7 + 0.014))
    for _ in range(32):
        line.put(Work(5.0))
    batch = line.take(32, 32, 3.7)
    assert batch.rows == 32
    assert reasons(batch.leavers) == [Reason.LATE]


def test_one_large_request_may_exceed_the_share_but_not_the_most() -> None:
    line = line_of(known=False)
    line.offer(Work(9.0, rows=20), 0.0)
    line.offer(Work(9.0, rows=20), 0.0)
    assert line.take(4, 32, 0.0).rows == 20
    assert line.take(32, 32, 0.0).rows == 20


def test_a_full_queue_sends_the_least_urgent_away_first() -> None:
    line = line_of(known=False, max_requests=2)
    low, normal = Work(9.0, level=5), Work(9.0)
    line.offer(low, 0.0)
    line.offer(normal, 0.0)
    assert [(one.work, one.reason) for one in line.offer(Work(9.0), 0.0)] == [(low, Reason.URGENT)]
    full = Work(9.0)
    assert [(one.work, one.reason) for one in line.offer(full, 0.0)] == [(full, Reason.FULL)]
    assert reasons(line.offer(Work(9.0, level=1), 0.0)) == [Reason.URGENT]
    assert line.count == 2


def test_a_full_queue_is_shared_among_callers() -> None:
    line = line_of(known=False, max_requests=12)
    for _ in range(12):
        line.offer(Work(9.0, caller="flood"), 0.0)
    for _ in range(20):
        line.offer(Work(9.0, caller="b"), 0.0)
        line.offer(Work(9.0, caller="c"), 0.0)
        line.offer(Work(9.0, caller="flood"), 0.0)
    assert line.shares is not None
    assert line.shares[3].rows_of == {"flood": 4, "b": 4, "c": 4}


def test_a_large_request_needs_as_many_rows_to_give_way() -> None:
    line = line_of(known=False, max_requests=12)
    for _ in range(12):
        line.offer(Work(9.0, caller="flood"), 0.0)
    leavers = line.offer(Work(9.0, rows=4, caller="b"), 0.0)
    assert reasons(leavers) == [Reason.SHARE] * 4
    assert line.rows == 12
    assert reasons(line.offer(Work(9.0, rows=4, caller="b"), 0.0)) == []
    assert line.count == 10


def test_without_fairness_who_comes_first_has_it() -> None:
    line = line_of(known=False, max_requests=3, fair=False)
    for _ in range(3):
        line.offer(Work(9.0, caller="flood"), 0.0)
    assert reasons(line.offer(Work(9.0, caller="b"), 0.0)) == [Reason.FULL]


@pytest.mark.parametrize("deadline_s", [1.0, 0.5, -5.0, float("nan")])
def test_a_deadline_that_passed_or_is_no_time_does_not_wait(deadline_s: float) -> None:
    line = line_of()
    assert reasons(line.offer(Work(deadline_s), 1.0)) == [Reason.EXPIRED]
    assert line.count == 0


def test_while_the_queue_stands_waits_are_short_although_deadlines_are_long() -> None:
    line = line_of(codel=Codel(target_s=0.1))
    line.admission.batch_started("running", 32, 0.0)
    for _ in range(64):
        assert line.offer(Work(30.0), 0.0) == ()
    line.take(32, 32, 1.1)
    line.admission.batch_ended("running", 32, 0.074, 1.1)
    line.admission.batch_started("next", 32, 1.1)
    assert reasons(line.offer(Work(30.0, queued_s=1.1), 1.1)) == [Reason.STANDING]


def test_after_a_standstill_the_newest_of_the_least_urgent_go_first() -> None:
    """Nothing is known of how long a batch takes by then, so the old ones may be lost whatever is done."""
    line = line_of(known=False, codel=Codel(target_s=0.1))
    works = [Work(30.0 + number, queued_s=number, level=5) for number in range(10)]
    line.codel.stands(0.0)
    for work in works:
        line.offer(work, work.queued_s)
    urgent = Work(60.0, level=1, queued_s=10.0)
    line.offer(urgent, 10.0)
    assert line.take(3, 32, 20.0).works == [urgent, works[9], works[8]]


def test_who_left_is_not_given_to_a_replica_and_leaves_once() -> None:
    line = line_of(known=False)
    first, second = Work(5.0), Work(6.0)
    line.offer(first, 0.0)
    line.offer(second, 0.0)
    line.leave(first)
    line.leave(first)
    assert line.count == 1
    batch = line.take(32, 32, 0.0)
    assert batch.works == [second]
    line.leave(second)
    assert (line.count, line.rows, line.rows_at) == (0, 0, [0] * 6)


def test_those_that_left_do_not_pile_up() -> None:
    line = line_of(known=False, max_requests=10)
    keep = Work(1e6)
    line.offer(keep, 0.0)
    for number in range(1000):
        work = Work(10.0 + number)
        line.offer(work, 0.0)
        line.leave(work)
    assert len(line.lanes[3]) <= 21
    assert line.take(32, 32, 0.0).works == [keep]


offers = st.tuples(
    st.just("offer"), st.floats(-0.1, 2.0), st.integers(1, 5), st.integers(1, 40), st.sampled_from("abc")
)
takes = st.tuples(st.just("take"), st.integers(1, 32))
leaves = st.tuples(st.just("leave"), st.integers(0, 50))
ends = st.tuples(st.just("end"), st.floats(0.001, 0.5))


@given(
    st.lists(st.tuples(st.floats(-0.02, 0.1), offers | takes | leaves | ends), max_size=120),
    st.booleans(),
    st.integers(1, 12),
)
@settings(max_examples=150)
def test_everyone_is_answered_told_or_waiting_exactly_once(steps, known: bool, max_requests: int) -> None:
    """Also with a clock that goes back, requests larger than a batch, and batches of any length."""
    line = line_of(known, max_requests, codel=Codel(0.02))
    now_s, fates, works, running = 0.0, {}, [], 0

    def settle(work: Work, fate: str) -> None:
        assert id(work) not in fates
        fates[id(work)] = fate

    for elapsed_s, (action, *given_) in steps:
        now_s += elapsed_s
        if action == "offer":
            left_s, level, rows, caller = given_
            work = Work(now_s + left_s, level, rows, caller, now_s)
            works.append(work)
            for leaver in line.offer(work, now_s):
                settle(leaver.work, leaver.reason.value)
        elif action == "take":
            batch = line.take(given_[0], 32, now_s)
            assert batch.rows == sum(work.rows for work in batch.works)
            assert len(batch.works) == 1 or batch.rows <= given_[0]
            for work in batch.works:
                assert work.deadline_s > now_s
                settle(work, "served")
            for leaver in batch.leavers:
                settle(leaver.work, leaver.reason.value)
            if batch.works:
                running += 1
                line.admission.batch_started(running, batch.rows, now_s)
        elif action == "end" and running:
            line.admission.batch_ended(running, 8, given_[0], now_s)
            running -= 1
        elif action == "leave" and works:
            work = works[given_[0] % len(works)]
            if id(work) not in fates:
                settle(work, "left")
            line.leave(work)
        waiting = [work for work in works if id(work) not in fates]
        assert line.count == len(waiting) <= max_requests
        assert line.rows == sum(work.rows for work in waiting) == sum(line.rows_at)
        assert {id(work) for work in line} == {id(work) for work in waiting}


@given(st.lists(st.floats(0.05, 5.0), min_size=1, max_size=60))
def test_within_a_level_nobody_is_taken_before_one_with_an_earlier_deadline(deadlines: list[float]) -> None:
    line = line_of(known=False, max_requests=100)
    for deadline_s in deadlines:
        line.offer(Work(deadline_s), 0.0)
    taken: list[float] = []
    while line.rows:
        taken += [work.deadline_s for work in line.take(7, 32, 0.0).works]
    assert taken == sorted(deadlines)
