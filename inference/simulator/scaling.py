"""Plays a scaling policy against traffic: what its replicas cost, how long requests waited, how often it turned.

A replica costs from the moment it is asked for, so cold starts and draining are paid. Everything is counted from the
first arrival to the last: what came after is not in a trace, so nobody is charged for having kept replicas for it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from random import Random

from inference.policy.autoscaling.load import Load
from inference.simulator.clock import Simulation
from inference.simulator.durations import Duration
from inference.simulator.servers import Server, ServerPool, ServerState
from inference.simulator.service import FifoService

Scaler = Callable[[Load, float], int]  # the load of the interval that ended, and now; answers with how many replicas
LONGEST_TAIL_S = 3600.0  # after the last arrival, for what still waits


@dataclass(frozen=True)
class Workload:
    """Requests by their arrival, and how long each takes in a slot. Raises ValueError without a slot, or for a service
    that is negative or no number."""

    at_s: Sequence[float]
    service_s: Sequence[float]
    slots: int  # of a replica

    def __post_init__(self) -> None:
        if self.slots < 1 or not all(took_s >= 0.0 for took_s in self.service_s):
            raise ValueError(f"A replica has a slot or more, not {self.slots}, and a service takes 0 s or more.")

    @property
    def end_s(self) -> float:
        """The last arrival."""
        return float(self.at_s[-1]) if len(self.at_s) else 0.0

    @property
    def mean_load(self) -> float:
        """Replicas that would be busy on average if none was ever idle."""
        return sum(self.service_s) / self.slots / self.end_s if self.end_s else 0.0


@dataclass(frozen=True)
class Setting:
    """What all policies share."""

    cold_start: Duration
    cold_start_s: float  # as the policy is told: the slow end
    wait_s: float = 1.0  # a request that waited longer is late
    interval_s: float = 1.0  # between decisions
    initial: int = 1  # replicas that are ready at the start
    late_last: bool = False  # whoever is late already makes way for those who are not yet
    seed: int = 1


@dataclass
class Played:
    worker_s: float = 0.0
    requests: int = 0
    late: int = 0
    waits_s: list[float] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)  # (when, replicas wanted from then on)
    turns_s: list[float] = field(default_factory=list)  # when the number changed its direction

    @property
    def late_share(self) -> float:
        return self.late / self.requests if self.requests else 0.0

    def turns_within(self, span_s: float) -> int:
        """The most changes of direction in any `span_s`."""
        most = first = 0
        for last, moment in enumerate(self.turns_s):
            while self.turns_s[first] <= moment - span_s:
                first += 1
            most = max(most, last - first + 1)
        return most


class MeteredService(FifoService):
    """The queue before the pool, and what a policy may know of it: no request's size, nothing of what is to come."""

    def __init__(self, pool: ServerPool, work: Workload, setting: Setting):
        self.setting = setting
        self.overdue: deque[int] = deque()
        self.area = self.peak = self.since_s = 0.0
        self.before = (0, 0)  # arrived and answered, at the last reading
        self.served_s = 0.0
        self.late_begun = self.late_before = 0
        super().__init__(pool, work.at_s, work.service_s)

    @property
    def here(self) -> int:
        return self.arrived - self.answered

    def move(self) -> None:
        now_s = self.simulation.now_s
        self.area += self.here * (now_s - self.since_s)
        self.since_s = now_s

    def arrive(self, index: int) -> None:
        self.move()
        super().arrive(index)
        self.peak = max(self.peak, self.here)

    def done(self, index: int) -> None:
        self.move()
        self.served_s += self.service_s[index]
        super().done(index)

    @property
    def in_line(self) -> int:
        return len(self.waiting) + len(self.overdue)

    def take(self) -> int:
        if not self.setting.late_last:
            return super().take()
        while self.waiting and self.is_late(self.waiting[0]):
            self.overdue.append(self.waiting.popleft())
        return self.waiting.popleft() if self.waiting else self.overdue.popleft()

    def begin(self, index: int, server: Server) -> None:
        self.late_begun += self.is_late(index)
        super().begin(index, server)

    def is_late(self, index: int) -> bool:
        return self.simulation.now_s - self.at_s[index] > self.setting.wait_s

    def count_late(self) -> int:
        """Who became late since the last reading: those who began so, and how many more of them are in line."""
        in_line = len(self.overdue) + sum(1 for _ in takewhile(self.is_late, self.waiting))
        late = self.late_begun + in_line - self.late_before
        self.late_begun, self.late_before = 0, in_line
        return late

    def read(self) -> Load:
        """The load since the last reading."""
        self.move()
        ready = self.pool.count(ServerState.READY)
        first = min((line[0] for line in (self.waiting, self.overdue) if line), default=None)
        running = self.here - self.in_line
        load = Load(
            ready=ready,
            starting=self.pool.count(ServerState.STARTING),
            concurrency=self.area / self.setting.interval_s,
            peak=self.peak,
            waiting=self.in_line,
            oldest_wait_s=0.0 if first is None else self.simulation.now_s - self.at_s[first],
            arrivals=self.arrived - self.before[0],
            late=self.count_late(),
            finished=self.answered - self.before[1],
            service_s=self.served_s,
            busy=min(1.0, running / (ready * self.pool.slots)) if ready else None,
            cold_start_s=self.setting.cold_start_s,
        )
        self.before = self.arrived, self.answered
        self.area, self.served_s, self.peak = 0.0, 0.0, float(self.here)
        return load


def play(work: Workload, scaler: Scaler, setting: Setting) -> Played:
    """All of the workload under one policy. The same by `setting.seed`."""
    played = Played(requests=len(work.at_s))
    if not played.requests:
        return played
    simulation = Simulation()
    chance = Random(setting.seed)  # noqa: S311 -- cold starts
    pool = ServerPool(simulation, setting.cold_start, chance, work.slots)
    for _ in range(setting.initial):
        pool.start(warm=True)
    service = MeteredService(pool, work, setting)
    direction = 0

    def decide() -> None:
        nonlocal direction
        before = pool.wanted
        wanted = scaler(service.read(), simulation.now_s)
        if wanted == before:
            return
        pool.scale_to(wanted)
        if simulation.now_s <= work.end_s:
            turned = 1 if wanted > before else -1
            if direction == -turned:
                played.turns_s.append(simulation.now_s)
            direction = turned
            played.changes.append((simulation.now_s, wanted))

    simulation.every(setting.interval_s, decide, until_s=work.end_s + LONGEST_TAIL_S)
    simulation.run(until_s=work.end_s)
    played.worker_s = pool.server_seconds()
    while service.here and simulation.now_s < work.end_s + LONGEST_TAIL_S:
        simulation.run(until_s=simulation.now_s + 60.0)
    played.waits_s = [wait if wait == wait else float("inf") for wait in service.wait_s]  # NaN: never had a slot
    played.late = sum(wait > setting.wait_s for wait in played.waits_s)
    return played
