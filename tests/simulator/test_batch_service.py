"""The real policies on the virtual clock: what `bench.overload` measures at length, held here on short streams."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.policy.admission import Admission
from inference.policy.batching import LatencyModel
from inference.policy.waiting import WaitingLine
from inference.simulator.batch_service import BatchService, Demand, Outcome
from inference.simulator.clairvoyant import goodput_bound
from inference.simulator.clock import Simulation
from inference.simulator.durations import Constant, Executor
from inference.simulator.faults import Crash, FaultInjector
from inference.simulator.servers import ServerPool
from inference.simulator.traffic import poisson

EXECUTOR = Executor(0.010, 0.002, noise=0.05)
CAPACITY = 2 * EXECUTOR.rows_per_s(32)


def serve(demand: Demand, seed: int = 1, servers: int = 2, crash_at_s: float | None = None) -> BatchService:
    pool = ServerPool(Simulation(), Constant(1.0), Random(seed))
    for _ in range(servers):
        pool.start(warm=True)
    admission = Admission(LatencyModel(), 32)
    line = WaitingLine(admission, 512)
    service = BatchService(pool, EXECUTOR, admission, line, demand, Random(seed))
    if crash_at_s is not None:
        FaultInjector(pool, [Crash(crash_at_s)], Random(seed))
    pool.simulation.run()
    return service


def demand_of(load: float, seconds: float, level: int = 3, timeout_s: float = 0.25, seed: int = 1) -> Demand:
    at_s = poisson(load * CAPACITY, seconds, np.random.default_rng(seed)).at_s.tolist()
    count = len(at_s)
    return Demand(at_s, [timeout_s] * count, [level] * count, [1] * count, ["a"] * count)


def both(one: Demand, other: Demand) -> Demand:
    columns = [
        [*getattr(one, name), *getattr(other, name)] for name in ("at_s", "timeout_s", "level", "rows", "caller")
    ]
    order = sorted(range(len(columns[0])), key=columns[0].__getitem__)
    return Demand(*([column[place] for place in order] for column in columns))


@pytest.mark.parametrize("load, least", [(0.5, 0.99), (0.9, 0.95), (1.5, 0.90), (3.0, 0.90)])
def test_goodput_is_close_to_that_of_one_who_knows_the_future(load: float, least: float) -> None:
    demand = demand_of(load, 8.0)
    service = serve(demand)
    fates = Counter(service.outcome)
    deadlines = [at_s + timeout_s for at_s, timeout_s in zip(demand.at_s, demand.timeout_s, strict=True)]
    bound = goodput_bound(demand.at_s, deadlines, EXECUTOR, 2, 32)
    assert fates[Outcome.IN_TIME] >= least * bound
    assert service.late_device_s <= 0.001 * service.device_s
    assert fates[Outcome.WAITING] == 0


def test_a_flood_of_low_priority_does_not_reach_the_top() -> None:
    demand = both(demand_of(0.3, 6.0, level=1), demand_of(3.0, 6.0, level=5, seed=2))
    service = serve(demand)
    top = [fate for fate, level in zip(service.outcome, demand.level, strict=True) if level == 1]
    assert top.count(Outcome.IN_TIME) >= 0.99 * len(top)


def test_the_same_seed_gives_the_same_run_to_the_last_bit() -> None:
    demand = demand_of(1.5, 3.0)
    one, again, other = serve(demand), serve(demand), serve(demand, seed=2)
    assert repr(one.latency_s) == repr(again.latency_s) != repr(other.latency_s)


def test_a_crash_loses_its_batch_and_nobody_else() -> None:
    demand = demand_of(0.7, 4.0, timeout_s=5.0)
    fates = Counter(serve(demand, crash_at_s=2.0).outcome)
    assert 1 <= fates[Outcome.LOST] <= 32
    assert fates[Outcome.IN_TIME] + fates[Outcome.LOST] == len(demand)


def play(at_s: list[float], servers: int = 1, learn: int = 0) -> BatchService:
    """Single rows of long deadlines on servers of l(b) = 8 ms + 1 ms·b without noise, `learn` batches after which it is
    known."""
    pool = ServerPool(Simulation(), Constant(1.0), Random(1))
    for _ in range(servers):
        pool.start(warm=True)
    admission = Admission(LatencyModel(), 32)
    executor = Executor(0.008, 0.001)
    for turn in range(learn):
        admission.batch_ended("known", 1 + turn % 8, executor.mean_s(1 + turn % 8), 0.0)
    count = len(at_s)
    demand = Demand(at_s, [10.0] * count, [3] * count, [1] * count, ["a"] * count)
    service = BatchService(pool, executor, admission, WaitingLine(admission, 512), demand, Random(1))
    pool.simulation.run()
    return service


def test_what_comes_at_one_time_goes_out_together() -> None:
    service = play([0.0] * 12)
    assert (service.batches, service.latency_s[0]) == (1, pytest.approx(0.020))


def test_a_server_leaves_the_share_of_its_twin_that_runs_a_single_row() -> None:
    """Of 15 rows beside 1 that runs, 8 go to the free server; the other 7 to the twin, 2 ms after its answer, in which
    an eighth might have come."""
    service = play([0.0, *[0.001] * 15], servers=2)
    assert service.latency_s[0] == pytest.approx(0.009)
    assert Counter(round(latency_s, 6) for latency_s in service.latency_s[1:]) == {0.016: 8, 0.025: 7}


def test_of_idle_servers_the_one_that_answered_last_is_next() -> None:
    service = play([0.0, 0.001, 0.1], servers=2)
    assert service.free_since_s == {0: pytest.approx(0.009), 1: pytest.approx(0.109)}


def test_a_batch_is_held_for_a_part_of_its_fixed_cost_while_rows_may_return() -> None:
    """Eight were answered at 16 ms. The next comes 0.5 ms later and waits until 2 ms after them, a quarter of the fixed
    cost, for the seven that may follow; one more does. A lone one much later is not held."""
    service = play([*[0.0] * 8, 0.0165, 0.0172, 1.0], learn=100)
    assert service.latency_s[:8] == pytest.approx([0.016] * 8)
    assert service.latency_s[8:] == pytest.approx([0.0015 + 0.010, 0.0008 + 0.010, 0.009])


@given(
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 1), st.integers(1, 5), st.integers(1, 40)), max_size=60),
    st.integers(0, 3),
)
@settings(max_examples=60)
def test_everyone_has_one_fate_and_device_time_adds_up(requests, servers: int) -> None:
    """With gaps, one burst, requests larger than a batch, and without any server."""
    requests.sort(key=lambda one: one[0])
    columns = [list(column) for column in zip(*requests, strict=True)] or [[], [], [], []]
    service = serve(Demand(*columns, caller=["a"] * len(requests)), servers=servers)
    waiting = service.outcome.count(Outcome.WAITING)
    assert waiting == service.line.rows == 0 or servers == 0
    assert service.device_s == pytest.approx(service.pool.busy_slot_seconds())
    assert 0.0 <= service.late_device_s <= service.device_s + 1e-9
    for fate, latency_s, timeout_s in zip(service.outcome, service.latency_s, columns[1], strict=True):
        assert (fate is Outcome.IN_TIME) <= (latency_s <= timeout_s + 1e-9)
