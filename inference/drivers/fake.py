"""Workers that are only said to live: for tests of whoever drives, and for worlds with a clock of their own.

It keeps every promise of the Driver contract and adds hands to move its world: `finish_loading`, `crash`, `hang`.
Nothing happens by itself, so a test decides what is seen when.
"""

from collections.abc import Iterable

from inference.drivers.base import Gone, Job, Running
from inference.status import ReplicaState, WorkerStatus


class FakeDriver:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.jobs: dict[str, Job] = {}
        self.states: dict[str, ReplicaState] = {}
        self.started_at_s: dict[str, float] = {}
        self.beat_at_s: dict[str, float] = {}
        self.hung: set[str] = set()
        self.kill_at_s: dict[str, float] = {}
        self.gone: list[Gone] = []
        self.spares = 0
        self.starts: list[str] = []

    # The Driver contract

    def start(self, job: Job) -> None:
        if job.replica in self.jobs:
            return
        self.starts.append(job.replica)
        if not any(unit.name == job.unit for unit in job.version.units):
            self.gone.append(Gone(job.replica, 2, f"Version {job.version.number} has no unit {job.unit!r}."))
            return
        self.jobs[job.replica] = job
        self.states[job.replica] = ReplicaState.STARTING
        self.started_at_s[job.replica] = self.beat_at_s[job.replica] = self.now_s

    def stop(self, replica: str, drain_s: float) -> None:
        if replica not in self.jobs:
            return
        if drain_s <= 0:
            self.end(replica, -9)
        elif replica in self.hung:
            self.kill_at_s.setdefault(replica, self.now_s + drain_s)
        else:
            self.end(replica, 0)

    def running(self) -> list[Running]:
        self.look()
        return [
            Running(
                replica=replica,
                pid=number,
                started_at_s=self.started_at_s[replica],
                address=job.address,
                model=job.model,
                version=job.version.number,
                digest=job.version.digest,
                unit=job.unit,
                device=job.device,
            )
            for number, (replica, job) in enumerate(self.jobs.items(), 1)
        ]

    def ended(self) -> list[Gone]:
        self.look()
        gone, self.gone = self.gone, []
        return gone

    def keep_spares(self, count: int) -> int:
        self.spares = count
        return count

    # The world's hands

    def advance(self, by_s: float) -> None:
        """Let time pass; workers that do not hang send their heartbeats."""
        self.now_s += by_s
        for replica in self.jobs:
            if replica not in self.hung:
                self.beat_at_s[replica] = self.now_s

    def finish_loading(self, replica: str) -> None:
        self.states[replica] = ReplicaState.READY

    def crash(self, replica: str, exit_code: int | None = -9) -> None:
        self.end(replica, exit_code)

    def hang(self, replica: str) -> None:
        """It lives, says nothing more, and hears no request to stop."""
        self.hung.add(replica)

    def follow(self, running: Iterable[Running]) -> None:
        """It is its own pulse: all heartbeats are at hand."""

    def beats(self) -> dict[str, tuple[WorkerStatus, float]]:
        """The last heartbeat of each worker, and when it came."""
        return {replica: (self.status(replica), self.beat_at_s[replica]) for replica in self.jobs}

    # Inside

    def look(self) -> None:
        for replica, at_s in list(self.kill_at_s.items()):
            if self.now_s >= at_s:
                self.end(replica, -9)

    def end(self, replica: str, exit_code: int | None) -> None:
        if self.jobs.pop(replica, None) is None:
            return
        self.gone.append(Gone(replica, exit_code, f"{replica} ended with {exit_code}"))
        self.hung.discard(replica)
        for facts in (self.states, self.started_at_s, self.beat_at_s, self.kill_at_s):
            facts.pop(replica, None)

    def status(self, replica: str) -> WorkerStatus:
        job = self.jobs[replica]
        return WorkerStatus(
            replica=replica,
            pool=job.pool,
            node=job.node,
            model=job.model,
            version=job.version.number,
            unit=job.unit,
            digest=job.version.digest,
            device=job.device,
            device_name="made up",
            state=self.states[replica],
            pid=0,
            at_s=self.beat_at_s[replica],
            started_at_s=self.started_at_s[replica],
        )
