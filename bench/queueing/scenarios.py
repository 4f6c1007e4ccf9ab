"""What a line is put through, and what is counted.

A trace is sped up until its mean rate is the given part of what the servers can do in full batches, and repeated until
it lasts `seconds`. Speeding it up is the same as making the servers slower and the deadlines longer by the same factor:
only the ratio of deadline to batch time matters. A request has one row, or up to `most_rows` by the tokens that the
trace says it made; goodput counts rows.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.random import default_rng

from bench.queueing.lines import make_line
from inference.policy.admission import Admission
from inference.policy.batching import LatencyModel
from inference.simulator.batch_service import BatchService, Demand, Outcome
from inference.simulator.clairvoyant import goodput_bound
from inference.simulator.clock import Simulation
from inference.simulator.durations import Constant, Executor
from inference.simulator.servers import ServerPool
from inference.simulator.traffic import Ints, Traffic, bursts

TOP, LOW = 1, 5  # levels of priority
URGENT_LOAD = 0.3  # of capacity, in the scenario of priorities
HEAVY, LIGHT, LIGHT_CALLERS = 2.5, 0.1, 5  # of capacity, in the scenario of callers
CALM_LOAD, CALM_BURSTS = 0.3, 10.0  # of capacity between bursts, and how many bursts long that is on average


@dataclass(frozen=True)
class Setting:
    """The servers and the deadline."""

    executor: Executor
    servers: int
    max_rows: int
    timeout_s: float
    places: int
    seconds: float
    seed: int
    most_rows: int = 1  # of a request
    target_s: float = 0.0  # of a standing queue, for ours; 0: only deadlines bound a wait

    @property
    def capacity(self) -> float:
        """Rows a second of all servers in full batches; noise is at its mean of 1."""
        return self.servers * self.executor.rows_per_s(self.max_rows)

    @property
    def places_in_time(self) -> int:
        """How many may wait so that the last of them is just in time at full batches, behind those at work: what an
        operator would set who knew the servers, the deadline and this arithmetic."""
        return max(1, int(self.capacity * (self.timeout_s - 2.0 * self.executor.mean_s(self.max_rows))))

    def bound(self, demand: Demand) -> int:
        """Of rows: each of a request is taken for a request of its own, which makes it only easier."""
        at_s = np.repeat(demand.at_s, demand.rows)
        deadlines_s = at_s + np.repeat(demand.timeout_s, demand.rows)
        return goodput_bound(at_s.tolist(), deadlines_s.tolist(), self.executor, self.servers, self.max_rows)


def demand_at(trace: Traffic, load: float, setting: Setting, level: int = 3, caller: Hashable = 0) -> Demand:
    """The trace at `load` times the capacity, for at least the setting's seconds."""
    rows = rows_of(trace, setting.most_rows)
    traffic = trace.at_rate(load * setting.capacity / float(np.mean(rows)))
    times = max(1, round(setting.seconds / traffic.seconds))
    at_s = traffic.repeated(times).at_s.tolist()
    count = len(at_s)
    return Demand(at_s, [setting.timeout_s] * count, [level] * count, rows.tolist() * times, [caller] * count)


def rows_of(trace: Traffic, most: int) -> Ints:
    """1 … `most`, in proportion to the tokens made; a request of the mean has a third of the most."""
    mean = max(1.0, float(np.mean(trace.output_tokens)))
    return np.clip(np.ceil(trace.output_tokens / mean * most / 3.0), 1, most).astype(np.int64)


def burst_demand(times: float, burst_s: float, setting: Setting) -> Demand:
    """Generated: bursts at so many times the capacity, `burst_s` long on average, and little between them."""
    rates = CALM_LOAD * setting.capacity, times * setting.capacity
    traffic = bursts(*rates, setting.seconds, default_rng(setting.seed), CALM_BURSTS * burst_s, burst_s)
    count = len(traffic)
    return Demand(traffic.at_s.tolist(), [setting.timeout_s] * count, [3] * count, [1] * count, [0] * count)


def together(*demands: Demand) -> Demand:
    names = ("at_s", "timeout_s", "level", "rows", "caller")
    columns = [[value for demand in demands for value in getattr(demand, name)] for name in names]
    order = np.argsort(columns[0], kind="stable").tolist()
    return Demand(*([column[place] for place in order] for column in columns))


def shifted(trace: Traffic, part: float) -> Traffic:
    """The trace begun elsewhere, so that two streams of it do not burst together."""
    at_s = np.sort((trace.at_s + part * trace.seconds) % trace.seconds)
    return Traffic(at_s, trace.input_tokens, trace.output_tokens, trace.seconds)


def serve(name: str, demand: Demand, setting: Setting, slow: tuple[float, float] | None = None) -> BatchService:
    """Everybody's fate. `slow`: from when to when batches take twice as long, in seconds."""
    pool = ServerPool(Simulation(), Constant(0.0), Random(setting.seed))
    for _ in range(setting.servers):
        pool.start(warm=True)
    admission = Admission(LatencyModel(), setting.max_rows)
    line = make_line(name, admission, setting.places, setting.places_in_time, setting.target_s)
    service = BatchService(pool, setting.executor, admission, line, demand, Random(setting.seed + 1))
    if slow is not None:
        pool.simulation.at(slow[0], set_pace, pool, 2.0)
        pool.simulation.at(slow[1], set_pace, pool, 1.0)
    pool.simulation.run()
    return service


def set_pace(pool: ServerPool, pace: float) -> None:
    for server in pool.living:
        server.pace = pace


def in_time(service: BatchService, level: int | None = None, caller: Hashable | None = None) -> tuple[int, int]:
    """How many rows were answered in time, and of how many."""
    demand = service.demand
    good = count = 0
    for fate, rows, its_level, its_caller in zip(
        service.outcome, demand.rows, demand.level, demand.caller, strict=True
    ):
        if level in (None, its_level) and caller in (None, its_caller):
            count += rows
            good += rows * (fate is Outcome.IN_TIME)
    return good, count


def goodput(name: str, demand: Demand, setting: Setting) -> float:
    """Rows answered in time a second, as a part of the capacity."""
    return of_capacity(in_time(serve(name, demand, setting))[0], demand, setting)


def of_capacity(rows: int, demand: Demand, setting: Setting) -> float:
    span_s = max(demand.at_s, default=0.0) or setting.seconds  # one clump has no length
    return round(rows / span_s / setting.capacity, 4)


def overload(name: str, demand: Demand, bound: int, setting: Setting) -> dict[str, Any]:
    """One line under one load: everything the goals are about."""
    service = serve(name, demand, setting)
    good, _ = in_time(service)
    count, refused = len(demand), service.outcome.count(Outcome.REFUSED)
    latencies_ms = [
        1000.0 * latency_s
        for latency_s, fate in zip(service.latency_s, service.outcome, strict=True)
        if fate is Outcome.IN_TIME
    ]
    p50, p99 = np.quantile(latencies_ms, [0.5, 0.99]).tolist() if latencies_ms else (None, None)
    return {
        "requests": count,
        "bound": bound,
        "in_time": good,
        "goodput_ratio": part(good, bound),
        "goodput_of_capacity": of_capacity(good, demand, setting),
        "late_device_share": late_share(service),
        "refused": refused,
        "dropped": service.outcome.count(Outcome.DROPPED),
        "late": service.outcome.count(Outcome.LATE),
        "admitted_in_time": part(len(latencies_ms), count - refused),
        "mean_batch": round(service.batched_rows / service.batches, 1) if service.batches else 0.0,
        "p50_ms": None if p50 is None else round(p50, 1),
        "p99_ms": None if p99 is None else round(p99, 1),
    }


def priorities(name: str, trace: Traffic, load: float, setting: Setting) -> dict[str, Any]:
    """A little urgent work, and `load` times the capacity of work that is not."""
    low = demand_at(trace, load, setting, level=LOW)
    top = demand_at(shifted(trace, 0.37), URGENT_LOAD, setting, level=TOP)
    demand = together(low, cut(top, low.at_s[-1]))
    service = serve(name, demand, setting)
    urgent, of_urgent = in_time(service, TOP)
    other, of_other = in_time(service, LOW)
    return {
        "requests": len(demand),
        "top_requests": of_urgent,
        "top_in_time": part(urgent, of_urgent),
        "low_in_time": part(other, of_other),
        "goodput_ratio": part(urgent + other, setting.bound(demand)),
        "late_device_share": late_share(service),
    }


def slowdown(name: str, trace: Traffic, load: float, setting: Setting) -> dict[str, Any]:
    """In the middle third of the time all batches take twice as long: a noisy neighbour, a hot device."""
    demand = demand_at(trace, load, setting)
    end_s = demand.at_s[-1]
    service = serve(name, demand, setting, (end_s / 3.0, end_s * 2.0 / 3.0))
    good, count = in_time(service)
    return {
        "requests": count,
        "in_time": good,
        "goodput_of_capacity": round(of_capacity(good, demand, setting) / (5.0 / 6.0), 4),  # a third of it is halved
        "late_device_share": late_share(service),
    }


def callers(name: str, trace: Traffic, setting: Setting) -> dict[str, Any]:
    """One caller that wants 2.5 times the capacity, and five that want a tenth each, which is less than their share."""
    heavy = demand_at(trace, HEAVY, setting, caller="heavy")
    light = [
        demand_at(shifted(trace, (number + 1) / 7), LIGHT, setting, caller=f"light-{number}")
        for number in range(LIGHT_CALLERS)
    ]
    demand = together(heavy, *(cut(one, heavy.at_s[-1]) for one in light))
    service = serve(name, demand, setting)
    parts = [part(*in_time(service, caller=f"light-{number}")) for number in range(LIGHT_CALLERS)]
    return {
        "requests": len(demand),
        "least_of_light_in_time": min((one for one in parts if one is not None), default=None),
        "heavy_of_capacity": of_capacity(in_time(service, caller="heavy")[0], heavy, setting),
        "goodput_ratio": part(in_time(service)[0], setting.bound(demand)),
    }


def cut(demand: Demand, end_s: float) -> Demand:
    count = int(np.searchsorted(demand.at_s, end_s, side="right"))
    return Demand(
        demand.at_s[:count], demand.timeout_s[:count], demand.level[:count], demand.rows[:count], demand.caller[:count]
    )


def late_share(service: BatchService) -> float:
    return round(service.late_device_s / service.device_s, 6) if service.device_s else 0.0


def part(some: int, of: int) -> float | None:
    return round(some / of, 4) if of else None
