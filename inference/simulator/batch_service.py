"""A unit as the gateway runs it, in virtual time: requests wait in a line, free servers take batches.

The line decides (the real `policy.waiting`, or a baseline of the same shape); this only does, and keeps what became of
each request.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import Protocol

from inference.policy.admission import Admission
from inference.policy.batching import batch_rows
from inference.policy.waiting import Batch, Leaver
from inference.simulator.durations import Executor
from inference.simulator.servers import Server, ServerPool, ServerState


class Outcome(IntEnum):
    WAITING = 0  # neither answered nor told
    IN_TIME = 1
    LATE = 2  # answered after its deadline: a replica worked for nothing
    REFUSED = 3  # as it came
    DROPPED = 4  # it waited, and was told before a replica worked on it
    LOST = 5  # its server crashed


class Request:
    """One request, with what `policy.waiting.Waiting` asks for."""

    __slots__ = ("caller", "deadline_s", "gone", "index", "level", "queued_s", "rows", "size_bytes")

    def __init__(self, index: int, level: int, rows: int, queued_s: float, deadline_s: float, caller: Hashable):
        self.index = index
        self.level = level
        self.rows = rows
        self.size_bytes = 0
        self.queued_s = queued_s
        self.deadline_s = deadline_s
        self.caller = caller
        self.gone = False


class Line(Protocol):
    """Who waits, and who is next."""

    @property
    def rows(self) -> int: ...

    def offer(self, work: Request, now_s: float) -> Sequence[Leaver[Request]]: ...

    def take(self, share: int, most: int, now_s: float) -> Batch[Request]: ...


@dataclass(frozen=True)
class Demand:
    """n requests as parallel lists, in the order of arrival."""

    at_s: list[float]
    timeout_s: list[float]
    level: list[int]
    rows: list[int]
    caller: list[Hashable]

    def __len__(self) -> int:
        return len(self.at_s)


class BatchService:
    def __init__(
        self, pool: ServerPool, executor: Executor, admission: Admission, line: Line, demand: Demand, chance: Random
    ):
        self.pool = pool
        self.simulation = pool.simulation
        self.executor = executor
        self.admission = admission
        self.line = line
        self.demand = demand
        self.chance = chance
        self.outcome = [Outcome.WAITING] * len(demand)
        self.latency_s = [float("nan")] * len(demand)  # of those answered, and of those told otherwise
        self.device_s = self.late_device_s = 0.0
        self.batches = self.batched_rows = 0
        pool.on_free = self.pump
        self.simulation.feed(demand.at_s, self.arrive)

    def arrive(self, index: int) -> None:
        demand, now_s = self.demand, self.simulation.now_s
        request = Request(
            index, demand.level[index], demand.rows[index], now_s, now_s + demand.timeout_s[index], demand.caller[index]
        )
        leavers = self.line.offer(request, now_s)
        if leavers:
            self.tell(leavers, request)
        self.pump()

    def tell(self, leavers: Iterable[Leaver[Request]], newcomer: Request | None = None) -> None:
        for leaver in leavers:
            work = leaver.work
            self.outcome[work.index] = Outcome.REFUSED if work is newcomer else Outcome.DROPPED
            self.latency_s[work.index] = self.simulation.now_s - work.queued_s

    def pump(self) -> None:
        self.admission.slots = self.pool.slots * self.pool.count(ServerState.READY)
        while self.line.rows:
            free = sum(server.free for server in self.pool.living)
            server = self.pool.free_server()
            if server is None:
                return
            most = self.admission.max_rows
            batch = self.line.take(batch_rows(self.line.rows, free, most), most, self.simulation.now_s)
            self.tell(batch.leavers)
            if batch.works:
                self.start(server, batch)

    def start(self, server: Server, batch: Batch[Request]) -> None:
        self.admission.batch_started(id(batch), batch.rows, self.simulation.now_s)
        seconds = self.executor.run_s(batch.rows, self.chance) * server.pace
        run = Run(self, batch, self.simulation.now_s)
        self.pool.run(server, seconds / server.pace, run, self.finish, self.lose)

    def finish(self, run: "Run") -> None:
        now_s, rows = self.simulation.now_s, run.batch.rows
        seconds = now_s - run.started_s
        late_rows = 0
        for work in run.batch.works:
            late = now_s > work.deadline_s
            late_rows += work.rows * late
            self.outcome[work.index] = Outcome.LATE if late else Outcome.IN_TIME
            self.latency_s[work.index] = now_s - work.queued_s
        self.batches += 1
        self.batched_rows += rows
        self.device_s += seconds
        self.late_device_s += seconds * late_rows / rows
        self.admission.batch_ended(id(run.batch), rows, seconds, now_s)

    def lose(self, run: "Run") -> None:
        self.device_s += self.simulation.now_s - run.started_s
        self.admission.batch_lost(id(run.batch))
        for work in run.batch.works:
            self.outcome[work.index] = Outcome.LOST


@dataclass(frozen=True, eq=False)
class Run:
    """A batch at work."""

    service: BatchService
    batch: Batch[Request]
    started_s: float
