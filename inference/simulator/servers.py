"""A pool of servers: started with a cold start, drained, stopped, crashed; its time is metered.

A server has `slots` for jobs at once. The pool knows nothing of queues: whoever owns one is told when a slot is free
(`on_free`) and when a job was lost in a crash.
"""

from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Any

from inference.simulator.clock import Simulation, Timer
from inference.simulator.durations import Duration


class ServerState(str, Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # finishes what it runs, takes nothing new
    STOPPED = "stopped"


class Job:
    """Work in a slot, until it is done or lost."""

    __slots__ = ("done", "lost", "seconds", "started_s", "timer", "what")

    def __init__(
        self, what: Any, started_s: float, seconds: float, done: Callable[..., object], lost: Callable[..., object]
    ):
        self.what = what
        self.started_s = started_s
        self.seconds = seconds
        self.done = done
        self.lost = lost
        self.timer: Timer | None = None


class Server:
    """One replica."""

    __slots__ = ("born_s", "jobs", "name", "pace", "ready_s", "slots", "starting", "state", "stopped_s", "used_s")

    def __init__(self, name: int, slots: int, born_s: float):
        self.name = name
        self.slots = slots
        self.born_s = born_s  # from when on it costs
        self.ready_s: float | None = None
        self.stopped_s: float | None = None
        self.state = ServerState.STARTING
        self.jobs: list[Job] = []
        self.pace = 1.0  # jobs that start take so many times as long; a fault may change it
        self.used_s = 0.0  # slot-seconds of finished and lost jobs
        self.starting: Timer | None = None

    @property
    def free(self) -> int:
        return self.slots - len(self.jobs) if self.state is ServerState.READY else 0


class ServerPool:
    """The servers of one unit. All of them live on one simulation; chance is for cold starts only."""

    def __init__(self, simulation: Simulation, cold_start: Duration, chance: Random, slots: int = 1):
        self.simulation = simulation
        self.cold_start = cold_start
        self.chance = chance
        self.slots = slots
        self.living: list[Server] = []
        self.names = 0
        self.ended_s = 0.0  # server-seconds of those that are gone
        self.ended_used_s = 0.0
        self.on_free: Callable[[], object] = lambda: None  # a slot was freed, or a server became ready

    # Size

    def start(self, warm: bool = False) -> Server:
        """One more server, ready after a cold start; `warm`: at once, without telling `on_free`."""
        server = Server(self.names, self.slots, self.simulation.now_s)
        self.names += 1
        self.living.append(server)
        if warm:
            server.state, server.ready_s = ServerState.READY, server.born_s
        else:
            server.starting = self.simulation.after(
                max(0.0, self.cold_start.draw_s(self.chance)), self.be_ready, server
            )
        return server

    def be_ready(self, server: Server) -> None:
        server.starting = None
        server.state, server.ready_s = ServerState.READY, self.simulation.now_s
        self.on_free()

    def stop(self, server: Server) -> None:
        """Take no more work and end when the last job has."""
        if server.state is ServerState.STOPPED:
            return
        server.state = ServerState.DRAINING
        if not server.jobs:
            self.end(server)

    def crash(self, server: Server) -> None:
        """End at once. Its jobs are lost, and their owners told."""
        if server.state is ServerState.STOPPED:
            return
        jobs, server.jobs = server.jobs, []
        for job in jobs:
            if job.timer is not None:
                job.timer.cancel()
            server.used_s += self.simulation.now_s - job.started_s
        self.end(server)
        for job in jobs:
            job.lost(job.what)

    def end(self, server: Server) -> None:
        if server.starting is not None:
            server.starting.cancel()
        server.state, server.stopped_s = ServerState.STOPPED, self.simulation.now_s
        self.living.remove(server)
        self.ended_s += server.stopped_s - server.born_s
        self.ended_used_s += server.used_s

    def scale_to(self, count: int) -> None:
        """Start or stop servers until `count` are wanted (starting or ready). Those that are not ready yet go first,
        youngest first, then idle ones, then the least loaded."""
        wanted = [one for one in self.living if one.state is not ServerState.DRAINING]
        for _ in range(count - len(wanted)):
            self.start()
        if count < len(wanted):
            wanted.sort(key=lambda one: (one.state is ServerState.READY, len(one.jobs), -one.name))
            for one in wanted[: len(wanted) - max(0, count)]:
                self.stop(one)

    # Work

    def run(
        self,
        server: Server,
        seconds: float,
        what: Any,
        done: Callable[..., object],
        lost: Callable[..., object],
    ) -> None:
        """Put a job into a free slot: `done(what)` after `seconds` at the server's pace, or `lost(what)` in a crash.

        Raises ValueError where the server has no free slot.
        """
        if server.free <= 0:
            raise ValueError(
                f"Server {server.name} is {server.state.value} with {len(server.jobs)} jobs: no slot is free."
            )
        job = Job(what, self.simulation.now_s, seconds * server.pace, done, lost)
        server.jobs.append(job)
        job.timer = self.simulation.after(job.seconds, self.finish, server, job)

    def finish(self, server: Server, job: Job) -> None:
        server.jobs.remove(job)
        server.used_s += job.seconds
        if server.state is ServerState.DRAINING and not server.jobs:
            self.end(server)
        job.done(job.what)
        self.on_free()

    def free_server(self) -> Server | None:
        """The ready server with the most free slots, the oldest of equals; None where all are full."""
        best = None
        most = 0
        for one in self.living:
            if (free := one.free) > most:
                best, most = one, free
        return best

    # Figures

    def count(self, state: ServerState) -> int:
        return sum(one.state is state for one in self.living)

    @property
    def wanted(self) -> int:
        return sum(one.state is not ServerState.DRAINING for one in self.living)

    @property
    def running(self) -> int:
        """Jobs at work."""
        return sum(len(one.jobs) for one in self.living)

    def server_seconds(self) -> float:
        """What all servers together have cost up to now, cold starts and draining included."""
        return self.ended_s + sum(self.simulation.now_s - one.born_s for one in self.living)

    def busy_slot_seconds(self) -> float:
        """Slot-seconds used up to now, jobs at work included."""
        now_s = self.simulation.now_s
        alive = sum(one.used_s + sum(now_s - job.started_s for job in one.jobs) for one in self.living)
        return self.ended_used_s + alive
