"""Telling people: a row for each replica, also of those that failed or found no room, and events."""

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import msgspec

from inference.controller.observe import Beat
from inference.controller.publish import shown_state
from inference.controller.roster import Roster
from inference.drivers.base import Running
from inference.policy.replicas import Failure, Replica
from inference.policy.wanted import Shortage
from inference.status import ControllerStatus, Event, Reading, ReplicaState, WorkerStatus
from inference.sync.report import Reporter

MAX_SHORTAGES = 64  # rows; a pool that is far too small says so often enough
UNKNOWN = Reading(value=None, reason="the worker has not reported yet")
NO_PROCESS = Reading(value=None, reason="there is no process")


class Teller:
    def __init__(self, reporter: Reporter, pool: str, node: str, wall: Callable[[], float] = time.time):
        self.reporter = reporter
        self.pool = pool
        self.node = node
        self.wall = wall
        self.rows: set[str] = set()

    def event(self, kind: str, subject: str, message: str, level: str = "info") -> None:
        self.reporter.event(Event(at_s=self.wall(), kind=kind, subject=subject, message=message, level=level))

    def controller(self, id: str, fence: int, spares: int, message: str) -> None:
        self.reporter.controller(
            ControllerStatus(
                id=id, fence=fence, at_s=self.wall(), pools=(self.pool,), spares=spares, message=message[:500]
            )
        )

    def workers(
        self,
        replicas: Iterable[Replica],
        running: Iterable[Running],
        beats: Mapping[str, Beat],
        roster: Roster,
        shortages: Iterable[Shortage],
        now_s: float,
    ) -> None:
        processes = {one.replica: one for one in running}
        rows = [
            self.living_row(one, processes[one.replica], beats.get(one.replica), roster.restarts.get(one.replica, 0))
            for one in replicas
        ]
        living = {row.replica for row in rows}
        rows += [
            self.failed_row(one, roster.restarts.get(one.replica, 0), now_s)
            for one in roster.failures.values()
            if one.replica not in living
        ]
        rows += [self.shortage_row(one) for one in islice(shortages, MAX_SHORTAGES)]
        for row in rows:
            self.reporter.worker(row)
        names = {row.replica for row in rows}
        for replica in self.rows - names:
            self.reporter.forget_worker(replica)
        self.rows = names

    def living_row(self, replica: Replica, process: Running, beat: Beat | None, restarts: int) -> WorkerStatus:
        if beat is not None:
            return msgspec.structs.replace(beat[0], state=shown_state(replica), restarts=restarts)
        return self.row(
            replica.replica,
            replica.model,
            replica.version,
            replica.unit,
            digest=replica.digest,
            device=replica.device,
            state=shown_state(replica),
            pid=process.pid,
            started_at_s=process.started_at_s,
            restarts=restarts,
        )

    def failed_row(self, failure: Failure, restarts: int, now_s: float) -> WorkerStatus:
        model, version, digest, unit = failure.group
        return self.row(
            failure.replica,
            model,
            version,
            unit,
            digest=digest,
            state=ReplicaState.FAILED,
            restarts=restarts,
            reason=failure.reason,
            retry_at_s=self.wall() + max(failure.retry_at_s - now_s, 0.0),
            reading=NO_PROCESS,
        )

    def shortage_row(self, shortage: Shortage) -> WorkerStatus:
        return self.row(
            f"{shortage.model}-{shortage.version}-{shortage.unit}",
            shortage.model,
            shortage.version,
            shortage.unit,
            state=ReplicaState.FAILED,
            reason=shortage.reason,
            reading=NO_PROCESS,
        )

    def row(
        self,
        replica: str,
        model: str,
        version: int,
        unit: str,
        state: ReplicaState,
        digest: str = "",
        device: str = "",
        pid: int = 0,
        started_at_s: float = 0.0,
        restarts: int = 0,
        reason: str = "",
        retry_at_s: float | None = None,
        reading: Reading = UNKNOWN,
    ) -> WorkerStatus:
        return WorkerStatus(
            replica=replica,
            pool=self.pool,
            node=self.node,
            model=model,
            version=version,
            unit=unit,
            digest=digest,
            device=device,
            device_name="",
            state=state,
            pid=pid,
            at_s=self.wall(),
            started_at_s=started_at_s,
            restarts=restarts,
            busy=reading,
            device_use=reading,
            memory_used_bytes=reading,
            memory_total_bytes=reading,
            reason=reason,
            retry_at_s=retry_at_s,
        )
