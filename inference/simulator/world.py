"""A pool under the real controller's decisions, on the virtual clock.

What decides is what decides in production: `policy.reconcile`, `policy.effective`, the controller's roster and view of
its workers. What is made up is the world: workers that take drawn times to load, crash and hang (`drivers.fake`), and a
console whose documents arrive at once. Ready replicas can serve simulated traffic, so that a change of version, a crash
and a flood can be played together.
"""

from dataclasses import dataclass
from random import Random

from inference.controller.loop import DECIDE_S
from inference.controller.observe import see_replicas
from inference.controller.roster import Roster
from inference.drivers.base import Job
from inference.drivers.fake import FakeDriver
from inference.policy.effective import decide_effective, list_ready
from inference.policy.reconcile import Decision, Drain, Forget, Kill, Start, Stop, reconcile
from inference.policy.replicas import Replica
from inference.policy.wanted import Group, list_in_force, list_wanted
from inference.simulator.clock import Simulation
from inference.simulator.durations import Duration
from inference.simulator.servers import Server, ServerPool
from inference.spec import ModelSpec, PoolSpec
from inference.status import Effective, ReplicaState

FENCE = 1  # there is one controller, and it never loses its seat
EXIT_BAD_ARTIFACT = 3


@dataclass(frozen=True)
class Moment:
    """What changed, and when."""

    at_s: float
    what: str  # ready, lost, in-force
    who: str  # replica, or model
    versions: tuple[int, ...] = ()  # in force from then on


class World:
    """`load` says how long workers take to become ready; `broken` names versions that crash when loaded."""

    def __init__(
        self,
        simulation: Simulation,
        pool: PoolSpec,
        load: Duration,
        chance: Random,
        cores: int = 8,
        period_s: float = DECIDE_S,
        until_s: float = float("inf"),
    ):
        self.simulation = simulation
        self.pool = pool
        self.load = load
        self.chance = chance
        self.cores = cores
        self.driver = FakeDriver()
        self.roster = Roster()
        self.models: dict[str, ModelSpec] = {}
        self.effective: dict[str, Effective] = {}
        self.broken: set[tuple[str, int]] = set()  # (model, version)
        self.serving: dict[Group, ServerPool] = {}
        self.servers: dict[str, tuple[ServerPool, Server]] = {}  # by replica
        self.history: list[Moment] = []
        self.decision = Decision()
        self.started = 0
        self.most_workers = 0
        simulation.every(period_s, self.turn, until_s)

    # The world's hands

    def publish(self, model: ModelSpec) -> None:
        """The console wrote a model."""
        self.models[model.name] = model
        self.turn()

    def serve(self, group: Group, servers: ServerPool) -> None:
        """Let the ready replicas of a unit be the servers of a simulated pool, whose own scaling is not used."""
        self.serving[group] = servers

    def crash(self, replica: str) -> None:
        self.driver.crash(replica)
        self.turn()

    def hang(self, replica: str) -> None:
        """It lives and says nothing more. Work that it had is lost when the controller gives it up."""
        self.driver.hang(replica)

    # A turn of the controller

    def turn(self) -> None:
        now_s = self.simulation.now_s
        self.driver.advance(now_s - self.driver.now_s)
        replicas = self.observe(now_s)
        self.decision = reconcile(
            wanted=list_wanted(self.models.values(), self.effective, self.pool.name),
            pool=self.pool,
            replicas=replicas,
            failures=tuple(self.roster.failures.values()),
            in_force=list_in_force(self.effective.values()),
            known=self.models.keys(),
            cores=self.cores,
            now_s=now_s,
        )
        for action in self.decision.actions:
            self.apply(action, now_s)
        if self.decision.actions:
            replicas = self.observe(now_s)
        self.most_workers = max(self.most_workers, len(replicas))
        for model in self.models.values():
            self.weigh(model, [one for one in replicas if one.model == model.name], now_s)

    def observe(self, now_s: float) -> list[Replica]:
        for gone in self.driver.ended():
            if self.roster.note_gone(gone, now_s) is not None:
                self.history.append(Moment(now_s, "lost", gone.replica))
                self.withdraw(gone.replica, lose=True)
        running = self.driver.running()
        for one in running:
            self.roster.see(one, now_s)
        roster = self.roster
        replicas = see_replicas(
            running, self.driver.beats(), {}, roster.draining_at_s, roster.stopping, roster.since_s, 0.0
        )
        for replica in replicas:
            if roster.note_state(replica, "", now_s):
                self.history.append(Moment(now_s, "ready", replica.replica))
                if (servers := self.serving.get(replica.group)) is not None:
                    self.servers[replica.replica] = servers, servers.start(warm=True)
                    servers.on_free()
        return replicas

    def apply(self, action: Start | Drain | Stop | Kill | Forget, now_s: float) -> None:
        match action:
            case Start():
                self.start(action, now_s)
            case Drain(replica=replica):
                self.roster.draining_at_s[replica] = now_s
                self.withdraw(replica)
            case Stop(replica=replica):
                self.roster.stopping.add(replica)
                self.withdraw(replica)
                self.driver.stop(replica, drain_s=30.0)
            case Kill(replica=replica, reason=reason):
                self.roster.kill_reasons[replica] = reason
                self.driver.stop(replica, drain_s=0.0)
            case Forget(replica=replica):
                self.roster.forget(replica)

    def start(self, action: Start, now_s: float) -> None:
        wanted = action.wanted
        self.started += 1
        replica = action.replica or f"{wanted.model}-{wanted.version.number}-{wanted.unit.name}-{self.started}"
        self.roster.begin(replica, wanted.group, now_s, again=bool(action.replica))
        self.driver.start(
            Job(
                replica=replica,
                pool=self.pool.name,
                node="simulated",
                model=wanted.model,
                version=wanted.version,
                unit=wanted.unit.name,
                device=action.device,
                threads=action.threads,
                address=f"simulated:{replica}",
                data="",
            )
        )
        self.simulation.after(self.load.draw_s(self.chance), self.loaded, replica, now_s)

    def loaded(self, replica: str, started_at_s: float) -> None:
        """The end of a load, unless the worker ended before, hangs, or was started anew."""
        if self.driver.started_at_s.get(replica) != started_at_s or replica in self.driver.hung:
            return
        job = self.driver.jobs[replica]
        if (job.model, job.version.number) in self.broken:
            self.driver.crash(replica, EXIT_BAD_ARTIFACT)
        else:
            self.driver.finish_loading(replica)

    def withdraw(self, replica: str, lose: bool = False) -> None:
        """No more simulated work for it; what it runs is finished, or lost."""
        servers, server = self.servers.pop(replica, (None, None))
        if servers is not None and server is not None:
            (servers.crash if lose else servers.stop)(server)

    def weigh(self, model: ModelSpec, replicas: list[Replica], now_s: float) -> None:
        current = self.effective.get(model.name)
        fresh = decide_effective(model, current, list_ready(model, replicas), FENCE)
        if fresh is not current:
            self.effective[model.name] = fresh
            versions = tuple(weight.version for weight in fresh.weights)
            self.history.append(Moment(now_s, "in-force", model.name, versions))

    # Figures

    def ready(self, model: str, version: int) -> int:
        """How many replicas of a version take work now."""
        return sum(
            job.model == model
            and job.version.number == version
            and self.driver.states[replica] is ReplicaState.READY
            and replica not in self.roster.draining_at_s
            and replica not in self.driver.hung
            for replica, job in self.driver.jobs.items()
        )
