from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.simulator.clock import Simulation
from inference.simulator.durations import GENTD26_LOAD_S, Constant, Executor, Quantiles, quantiles_of
from inference.simulator.faults import Crash, FaultInjector, Slowdown, random_faults
from inference.simulator.servers import ServerPool, ServerState
from inference.simulator.service import FifoService


def pool_of(ready: int, cold_start_s: float = 30.0, slots: int = 1) -> ServerPool:
    pool = ServerPool(Simulation(), Constant(cold_start_s), Random(1), slots)
    for _ in range(ready):
        pool.start(warm=True)
    return pool


def nothing(what: object) -> None:
    pass


def test_a_server_works_only_after_its_cold_start_and_costs_from_its_beginning() -> None:
    pool = pool_of(0)
    service = FifoService(pool, [1.0], [2.0])
    pool.scale_to(1)
    pool.simulation.run(until_s=29.0)
    assert (pool.count(ServerState.STARTING), service.answered) == (1, 0)
    pool.simulation.run(until_s=40.0)
    assert service.wait_s == [29.0]
    assert service.answered == 1
    assert pool.server_seconds() == 40.0
    assert pool.busy_slot_seconds() == 2.0


def test_scaling_down_spares_what_works_and_finishes_it() -> None:
    pool = pool_of(3, slots=2)
    done: list[object] = []
    busy = pool.living[1]
    pool.run(busy, 5.0, "job", done.append, nothing)
    pool.start()
    pool.scale_to(1)
    assert pool.living == [busy]
    pool.scale_to(0)
    assert busy.state is ServerState.DRAINING
    assert pool.free_server() is None
    pool.simulation.run()
    assert (done, pool.living) == (["job"], [])
    assert pool.server_seconds() == 5.0


def test_a_crash_loses_the_work_and_says_so() -> None:
    pool = pool_of(1)
    lost: list[object] = []
    pool.run(pool.living[0], 5.0, "job", nothing, lost.append)
    pool.simulation.run(until_s=2.0)
    pool.crash(pool.living[0])
    pool.simulation.run()
    assert lost == ["job"]
    assert pool.busy_slot_seconds() == 2.0
    assert pool.simulation.now_s == 2.0


def test_no_slot_is_given_twice() -> None:
    pool = pool_of(1)
    pool.run(pool.living[0], 1.0, None, nothing, nothing)
    with pytest.raises(ValueError, match="no slot is free"):
        pool.run(pool.living[0], 1.0, None, nothing, nothing)


@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=40),
)
@settings(max_examples=60)
def test_whatever_happens_to_the_pool_everyone_is_answered_once_and_time_adds_up(
    seed: int, sizes: list[int], gaps: list[float]
) -> None:
    pool = ServerPool(Simulation(), Quantiles(GENTD26_LOAD_S), Random(seed), slots=2)
    at_s = [sum(gaps[: count + 1]) for count in range(len(gaps))]
    service = FifoService(pool, at_s, [1.5] * len(gaps))
    for number, size in enumerate(sizes):
        pool.simulation.at(number * 10.0, pool.scale_to, size)
    FaultInjector(pool, random_faults(80.0, 15.0, Random(seed)), Random(seed))
    pool.simulation.at(100.0, pool.scale_to, 2)
    pool.simulation.run(until_s=500.0)
    assert service.answered == len(gaps)
    assert not service.waiting
    assert all(wait_s >= 0 for wait_s in service.wait_s)
    assert pool.busy_slot_seconds() <= 2 * pool.server_seconds() + 1e-6
    assert pool.busy_slot_seconds() >= 1.5 * len(gaps) - 1e-6


def test_a_slow_server_recovers_exactly() -> None:
    pool = pool_of(1)
    service = FifoService(pool, [0.5, 20.0], [1.0, 1.0])
    injector = FaultInjector(pool, [Slowdown(0.0, 10.0, 4.0), Crash(30.0)], Random(1))
    pool.simulation.run(until_s=19.0)
    assert service.answered == 1
    assert pool.busy_slot_seconds() == 4.0
    pool.simulation.run()
    assert pool.busy_slot_seconds() == 5.0
    assert [server for _, server in injector.happened] == [0, 0]
    assert pool.count(ServerState.READY) == 1  # the crashed one's successor
    assert pool.simulation.now_s == 60.0


def test_the_same_seed_gives_the_same_faults() -> None:
    assert random_faults(1e4, 100.0, Random(5)) == random_faults(1e4, 100.0, Random(5))
    assert random_faults(0.0, 100.0, Random(5)) == random_faults(1e4, float("inf"), Random(5)) == []
    for seconds, every_s in ((1.0, 0.0), (10.0, 5e-324), (float("inf"), 1.0), (1.0, float("nan"))):
        with pytest.raises(ValueError, match="name a time"):
            random_faults(seconds, every_s, Random(5))


@pytest.mark.parametrize("factor", [0.0, -1.0, 5e-324, 1e300, float("inf"), float("nan")])
def test_a_slowdown_that_cannot_be_taken_back_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="recover"):
        Slowdown(0.0, 10.0, factor)


@given(st.floats(0, 1))
def test_measured_quantiles_come_back(part: float) -> None:
    load = Quantiles(GENTD26_LOAD_S)
    assert load.at(0.5) == pytest.approx(22.72)
    assert load.at(0.99) == pytest.approx(51.85)
    assert 1.33 <= load.at(part) <= 79.44


def test_measured_values_are_a_distribution() -> None:
    same = quantiles_of([3.0])
    assert same.draw_s(Random(1)) == 3.0
    spread = quantiles_of(range(101))
    assert spread.at(0.25) == pytest.approx(25.0)
    for values, points in (([], 101), ([3.0], 1)):
        with pytest.raises(ValueError, match="No durations"):
            quantiles_of(values, points)
    for wrong in (
        [(0.0, 1.0)],
        [(0.0, 1.0), (1.0, float("inf"))],
        [(0.0, 2.0), (1.0, 1.0)],
        [(0.1, 1.0), (1.0, 2.0)],
        [(0.0, -1.0), (1.0, 2.0)],
    ):
        with pytest.raises(ValueError):
            Quantiles(wrong)


@pytest.mark.parametrize("base_s, row_s", [(0.0, 0.0), (5e-324, 0.0), (-1.0, 2.0), (1.0, float("inf"))])
def test_a_batch_takes_some_time_and_not_all_of_it(base_s: float, row_s: float) -> None:
    with pytest.raises(ValueError, match="cannot take"):
        Executor(base_s, row_s)


def test_an_executor_is_a_line_with_noise_of_mean_one() -> None:
    plain = Executor(0.010, 0.002)
    assert plain.run_s(16, Random(1)) == plain.mean_s(16) == pytest.approx(0.042)
    assert plain.rows_per_s(32) == pytest.approx(32 / 0.074)
    noisy, chance = Executor(0.010, 0.002, noise=0.2, hiccup_chance=0.01, hiccup_factor=3.0), Random(1)
    mean = sum(noisy.run_s(16, chance) for _ in range(20_000)) / 20_000
    assert mean == pytest.approx(0.042 * 1.02, rel=0.01)
