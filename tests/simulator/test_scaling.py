from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from inference.policy.autoscaling.decide import Autoscaler
from inference.policy.autoscaling.load import Load
from inference.simulator.baselines import HorizontalPodAutoscaler, KnativePodAutoscaler, Static
from inference.simulator.durations import Constant
from inference.simulator.scaling import Played, Setting, Workload, play
from inference.simulator.scaling_bound import bound_of
from inference.simulator.traffic import Floats, diurnal, poisson
from inference.spec import ScalePolicy, ScaleSignal


def setting(initial: int = 1, cold_start_s: float = 30.0, **fields: object) -> Setting:
    return Setting(Constant(cold_start_s), cold_start_s, initial=initial, **fields)


def work_of(at_s: Floats, seed: int = 1, mean_s: float = 4.0, slots: int = 4) -> Workload:
    return Workload(at_s.tolist(), default_rng(seed).gamma(2.0, mean_s / 2.0, len(at_s)).tolist(), slots)


def ours(**fields: object) -> Autoscaler:
    return Autoscaler(ScalePolicy(**({"max_replicas": 500, "signal": ScaleSignal.PREDICTIVE, "slots": 4} | fields)))


def test_what_a_fleet_costs_that_knows_the_future() -> None:
    """Two requests in one slot each from 0 to 10 and one from 25 to 35; nothing else."""
    work = Workload([0.0, 0.0, 25.0, 50.0], [10.0, 10.0, 10.0, 1.0], slots=1)
    bound = bound_of(work, cold_start_s=5.0)
    assert bound.work_s == bound.zero_wait_s == 30.0
    assert bound.with_cold_starts_s == 30.0 + 5.0 + 5.0  # started anew for 25 and for 50, as both gaps are longer
    assert bound_of(work, cold_start_s=100.0).with_cold_starts_s == 30.0 + 15.0 + 15.0  # kept through both


requests = st.lists(st.tuples(st.floats(0, 200), st.floats(0.01, 40)), min_size=1, max_size=40)


@given(requests, st.integers(1, 4), st.floats(0, 60))
@settings(max_examples=100, deadline=None)
def test_the_bounds_are_in_order_and_a_fleet_of_the_peak_makes_nobody_wait(
    drawn: list[tuple[float, float]], slots: int, cold_start_s: float
) -> None:
    drawn.sort()
    work = Workload([at for at, _ in drawn], [took for _, took in drawn], slots)
    bound = bound_of(work, cold_start_s)
    assert bound.work_s <= bound.zero_wait_s * (1 + 1e-9)
    assert bound.zero_wait_s <= bound.with_cold_starts_s
    peak = ceil(max(sum(at <= one < at + took for at, took in drawn) for one, _ in drawn) / slots)
    played = play(work, Static(peak).decide, setting(peak))
    assert played.late == 0
    assert played.worker_s == pytest.approx(peak * work.end_s)
    assert bound.zero_wait_s <= played.worker_s * (1 + 1e-9)


def test_no_requests_cost_nothing() -> None:
    assert play(Workload([], [], 4), Static(1).decide, setting()) == Played()
    assert bound_of(Workload([], [], 4), 30.0).with_cold_starts_s == 0.0


@pytest.mark.parametrize("service_s, slots", [([1.0], 0), ([-1.0], 1), ([float("nan")], 1)])
def test_work_that_cannot_be_is_refused(service_s: list[float], slots: int) -> None:
    with pytest.raises(ValueError, match="slot"):
        Workload([0.0], service_s, slots)


def test_replicas_are_paid_from_when_they_are_asked_for() -> None:
    work = Workload([0.0, 100.0], [1.0, 1.0], slots=1)
    played = play(work, lambda _, now_s: 2 if now_s >= 50 else 1, setting(1))
    assert played.worker_s == pytest.approx(150.0)
    assert played.changes == [(50.0, 2)]


def test_who_is_late_already_makes_way_for_those_who_are_not() -> None:
    """One slot of 2 s, four at once and one a little before the third begins."""
    work = Workload([0.0, 0.0, 0.0, 0.0, 3.9], [2.0] * 5, slots=1)
    fifo = play(work, Static(1).decide, setting(1))
    late_last = play(work, Static(1).decide, setting(1, late_last=True))
    assert (fifo.late, late_last.late) == (4, 3)
    assert late_last.waits_s[4] == pytest.approx(0.1)


def test_a_policy_is_told_of_the_past_only_and_all_of_it() -> None:
    work = work_of(poisson(5.0, 300.0, default_rng(3)).at_s)
    loads: list[Load] = []

    def watch(load: Load, now_s: float) -> int:
        loads.append(load)
        return 20

    play(work, watch, setting(20))
    assert sum(load.arrivals for load in loads) == sum(load.finished for load in loads) == len(work.at_s)
    assert sum(load.service_s for load in loads) == pytest.approx(sum(work.service_s))
    assert sum(load.concurrency for load in loads) == pytest.approx(sum(work.service_s), rel=1e-6)  # nobody waited
    assert all(load.peak >= load.concurrency - 1e-9 for load in loads)


@pytest.mark.parametrize("late_last", [False, True])
def test_each_late_request_is_told_of_once_when_it_becomes_late(late_last: bool) -> None:
    work = work_of(poisson(5.0, 300.0, default_rng(3)).at_s)
    told: list[tuple[float, int]] = []

    def watch(load: Load, now_s: float) -> int:
        told.append((now_s, load.late))
        return 5

    played = play(work, watch, setting(5, late_last=late_last))
    assert sum(late for _, late in told) == played.late > 0
    for now_s, _ in told:
        overdue = sum(
            at + 1.0 < now_s - 1e-6 and wait > 1.0 for at, wait in zip(work.at_s, played.waits_s, strict=True)
        )
        assert overdue == sum(late for at_s, late in told if at_s <= now_s)


def test_turns_are_counted_in_the_worst_stretch() -> None:
    played = Played(turns_s=[10.0, 12.0, 100.0, 131.0, 160.0])
    assert played.turns_within(30.0) == 2
    assert played.turns_within(1.0) == 1
    assert Played().turns_within(30.0) == 0


def test_the_same_seed_is_the_same_run() -> None:
    work = work_of(poisson(5.0, 400.0, default_rng(5)).at_s)
    first, second = (play(work, KnativePodAutoscaler(4).decide, setting(8)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "name, at_s",
    [
        ("even", poisson(5.0, 1800.0, default_rng(11)).at_s),
        ("waves", diurnal(5.0, 0.6, 3600.0, default_rng(12), period_s=3600.0).at_s),
        ("clumps", poisson(5.0, 1800.0, default_rng(13)).at_s // 3 * 3),
    ],
)
@pytest.mark.parametrize("late_last", [False, True])
def test_few_wait_too_long_on_a_fleet_that_is_small_and_steady(name: str, at_s: Floats, late_last: bool) -> None:
    """Generated traffic of three shapes, in a line where those who are late make way and in one where nobody does."""
    work = work_of(at_s)
    start = setting(max(1, ceil(work.mean_load / 0.7)), late_last=late_last)
    mine = play(work, (lambda scaler: lambda load, now_s: scaler.decide(load, now_s).replicas)(ours()), start)
    kpa = play(work, KnativePodAutoscaler(4).decide, start)
    assert mine.late_share < (0.0075 if late_last else 0.01)  # half an hour has its luck
    assert mine.turns_within(30.0) <= 1
    assert mine.late_share < kpa.late_share
    assert mine.worker_s < 1.6 * bound_of(work, 30.0).zero_wait_s


def test_a_knative_pod_autoscaler_panics_at_twice_its_pods_and_calms_down_a_minute_later() -> None:
    scaler, ready = KnativePodAutoscaler(4), 4
    for second in range(60):
        assert scaler.decide(Load(ready=ready, concurrency=10.0), float(second)) == ready
    for second in range(60, 69):  # the last one is a tick
        wanted = scaler.decide(Load(ready=ready, concurrency=40.0), float(second))
    assert wanted >= 12
    calm = [scaler.decide(Load(ready=15, concurrency=10.0), float(second)) for second in range(70, 239)]
    assert calm[0] >= 12
    assert calm[-1] < 12


def test_a_horizontal_pod_autoscaler_waits_five_minutes_before_it_goes_down() -> None:
    scaler = HorizontalPodAutoscaler()
    numbers = [scaler.decide(Load(ready=10, busy=0.2), float(second)) for second in range(400)]
    assert set(numbers[:300]) == {10}
    assert numbers[300:].count(3) == 6  # at each sync once five minutes have passed
