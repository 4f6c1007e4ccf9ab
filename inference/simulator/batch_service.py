"""A unit as the gateway runs it, in virtual time: requests wait in a line, free servers take batches.

The line decides who is next (the real `policy.waiting`, or a baseline of the same shape), `policy.sharing` how many
rows the next batch takes, and `policy.gathering` whether it is too early for it; this only does, and keeps what became
of each request. Nobody in a trace waits for an answer before asking again, which gathering has to find out.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from random import Random
from typing import Protocol

from inference.policy.admission import Admission
from inference.policy.gathering import Gathering
from inference.policy.sharing import ArrivalRate, fair_rows, sustaining_rows
from inference.policy.waiting import Batch, Leaver
from inference.simulator.clock import Timer
from inference.simulator.durations import Executor
from inference.simulator.servers import Server, ServerPool, ServerState

LEAST_HOLD_S = 1e-6  # the end of a hold may be rounded to just before it: another of no length would never end


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
        self.free_since_s: dict[int, float] = {}  # by name of a server: when it answered last
        self.gathering = Gathering()
        self.rate = ArrivalRate()
        self.arrived_rows = 0
        self.hold: Timer | None = None
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
        if not request.gone:
            self.gathering.arrived(request.rows, now_s)
            self.arrived_rows += request.rows
        together = index + 1 < len(demand) and demand.at_s[index + 1] <= now_s
        if not together:  # as a gateway looks once at all that came in one turn of its loop
            self.pump()

    def tell(self, leavers: Iterable[Leaver[Request]], newcomer: Request | None = None) -> None:
        for leaver in leavers:
            work = leaver.work
            self.outcome[work.index] = Outcome.REFUSED if work is newcomer else Outcome.DROPPED
            self.latency_s[work.index] = self.simulation.now_s - work.queued_s

    def pump(self) -> None:
        ready = [server for server in self.pool.living if server.state is ServerState.READY]
        slots = self.admission.slots = self.pool.slots * len(ready)
        most = self.admission.max_rows
        while self.line.rows:
            server = min(ready, key=self.turn_of, default=None)
            if server is None or not server.free:
                return
            waiting, running = self.line.rows, sum(job.what.batch.rows for one in ready for job in one.jobs)
            if (hold_s := self.hold_s(ready, waiting, running)) > 0.0:
                if self.hold is None:
                    self.hold = self.simulation.after(max(hold_s, LEAST_HOLD_S), self.end_hold)
                return
            free = sum(one.free for one in ready)
            share = fair_rows(waiting, running, free, slots, most, self.enough())
            batch = self.line.take(share, most, self.simulation.now_s)
            self.tell(batch.leavers)
            if batch.works:
                self.start(server, batch)

    def turn_of(self, server: Server) -> tuple[int, float]:
        """The least is next: the most free slots, of equals the one that answered last, as its caches are warm."""
        return -server.free, -self.free_since_s.get(server.name, -inf)

    def hold_s(self, ready: Sequence[Server], waiting: int, running: int) -> float:
        """How long the gateway would hold the next batch back."""
        admission = self.admission
        since_s = min(self.free_since_s.get(server.name, -inf) for server in ready if server.free)
        return self.gathering.hold_s(
            waiting,
            running,
            admission.slots,
            admission.max_rows,
            admission.model.base_s,
            since_s,
            self.simulation.now_s,
        )

    def enough(self) -> int:
        admission, rate = self.admission, self.rate.read(self.arrived_rows, self.simulation.now_s)
        model = admission.model
        return sustaining_rows(rate, model.base_s, model.row_s, admission.slots, admission.max_rows)

    def end_hold(self) -> None:
        self.hold = None
        self.pump()

    def start(self, server: Server, batch: Batch[Request]) -> None:
        now_s = self.simulation.now_s
        self.admission.batch_started(id(batch), batch.rows, now_s)
        run = Run(server, batch, now_s)
        self.pool.run(server, self.executor.run_s(batch.rows, self.chance), run, self.finish, self.lose)

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
        self.gathering.answered(rows, now_s)
        self.free_since_s[run.server.name] = now_s
        self.admission.batch_ended(id(run.batch), rows, seconds, now_s)

    def lose(self, run: "Run") -> None:
        self.device_s += self.simulation.now_s - run.started_s
        self.admission.batch_lost(id(run.batch))
        for work in run.batch.works:
            self.outcome[work.index] = Outcome.LOST


@dataclass(frozen=True, eq=False)
class Run:
    """A batch at work."""

    server: Server
    batch: Batch[Request]
    started_s: float
