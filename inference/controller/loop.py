"""The loop: observe, decide, apply, publish, tell. All decisions are in `inference/policy/reconcile.py`."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from operator import is_
from pathlib import Path

from inference.controller.adopt import adopt
from inference.controller.apply import Applier
from inference.controller.observe import Pulse, see_replicas
from inference.controller.publish import Publisher
from inference.controller.roster import Roster
from inference.controller.seat import Seat
from inference.controller.tell import Teller
from inference.drivers.base import Driver, Running
from inference.log import get_log
from inference.policy.hints import list_unloaded
from inference.policy.reconcile import Decision, Start, reconcile
from inference.policy.replicas import LOADING, Replica
from inference.policy.wanted import Wanted, list_in_force, list_wanted
from inference.status import ReplicaState
from inference.sync.feed import Feed
from inference.sync.report import Reporter

log = get_log()

LOOK_S = 0.2  # at the processes; heartbeats and changed documents wake the loop at once
DECIDE_S = 0.5  # also when nothing changed: for what is due by time
DECIDE_SHARE = 20  # and then at most a twentieth of the time
TELL_S = 1.0
SWEEP_S = 30.0
STALL_S = 5.0
SAID = 3  # shortages, in the controller's own message


class Controller:
    """One pool of one node. Whatever it holds may be lost; a successor finds the workers, and the documents."""

    def __init__(
        self,
        feed: Feed,
        reporter: Reporter,
        driver: Driver,
        seat: Seat,
        pulse: Pulse,
        wake: asyncio.Event,
        data: Path,
        node: str,
        pool: str,
        drain_s: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        cores: int | None = None,
    ):
        self.feed = feed
        self.reporter = reporter
        self.driver = driver
        self.seat = seat
        self.pulse = pulse
        self.clock = clock
        self.wall = wall
        self.pool = pool
        self.node = node
        self.cores = cores or len(os.sched_getaffinity(0))
        self.roster = Roster()
        self.applier = Applier(driver, self.roster, data, node, pool, drain_s)
        self.publisher = Publisher(feed, pool, node)
        self.teller = Teller(reporter, pool, node, wall)
        self.wake = wake
        self.fence = 0
        self.assumed: dict[str, ReplicaState] = {}
        self.wanted: list[Wanted] = []
        self.decision = Decision()
        self.decided_on: object = None  # facts
        self.decided_for: tuple[object, ...] = ()  # wishes; compared as objects, for they may be large
        self.decide_at_s = self.tell_at_s = self.sweep_at_s = 0.0
        self.listening_since_s = self.looked_at_s = clock()
        self.spares = 0
        self.sweeps: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled. The workers go on when it ends."""
        while True:
            try:
                await self.turn()
            except Exception:
                log.exception("controller_round_failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self.wake.wait()
            self.wake.clear()

    def on_change(self, kind: str, key: str) -> None:
        """A document changed."""
        if kind == "spec":
            self.publisher.dirty.add(key)
        if kind == "hint" and (hint := self.feed.documents.hints.get(key)) is not None:
            log.info("hint", model=key, loaded=hint.loaded, by=hint.by)
        if kind in ("spec", "pool", "hint"):
            self.wake.set()

    async def turn(self) -> None:
        now_s = self.clock()
        if not self.seat.acts():
            self.stand_by()
            return
        took_over = self.fence != self.seat.fence
        if took_over:
            self.take_over(now_s)
        if now_s - self.looked_at_s > STALL_S:
            self.listening_since_s = now_s  # we were stopped, not they
        self.looked_at_s = now_s
        running, replicas = self.observe(now_s)
        if await self.decide(replicas, now_s):
            running, replicas = self.see(now_s)
        await self.publisher.publish_endpoints(replicas, running, self.fence)
        for model, version in self.publisher.note_ready(replicas):
            if took_over:
                continue  # it was before us
            log.info("version_ready", model=model, version=version)
            self.teller.event("version.ready", f"{model}/{version}", f"{model} version {version} is ready.", "ok")
        await self.publisher.publish_effective(self.fence)
        self.keep_spares(replicas)
        if now_s >= self.tell_at_s:
            self.tell_at_s = now_s + TELL_S
            self.tell(running, replicas, now_s)

    # Observe

    def take_over(self, now_s: float) -> None:
        """Begin to act under a new fence. On the very first time that means adoption."""
        first = not self.fence
        self.fence = self.seat.fence
        self.publisher.look_at_all()
        if not first:
            return
        self.listening_since_s = now_s
        running = self.driver.running()
        self.driver.ended()  # died before our time
        endpoints = self.feed.documents.endpoints.get(self.pool)
        self.assumed = adopt(self.roster, running, endpoints, now_s, self.wall())
        if running:
            log.info("workers_adopted", count=len(running))
            names = ", ".join(one.replica for one in running)
            self.teller.event("controller.adopted", self.node, f"Adopted {len(running)} worker(s): {names}.")

    def stand_by(self) -> None:
        """Another acts, or may: touch nothing, and forget what will not be true any more."""
        if self.fence:
            log.warning("standing_by", why=self.seat.why_not)
            self.fence = 0
            self.roster = self.applier.roster = Roster()
            self.publisher.ready.clear()
            self.decided_on = None
            self.pulse.follow(())

    def observe(self, now_s: float) -> tuple[list[Running], list[Replica]]:
        for gone in self.driver.ended():
            asked = gone.replica in self.roster.stopping
            failure = self.roster.note_gone(gone, now_s)
            self.assumed.pop(gone.replica, None)
            if failure is not None:
                wait_s = max(failure.retry_at_s - now_s, 0.0)
                log.warning("worker_lost", replica=gone.replica, reason=failure.reason, retry_in_s=round(wait_s, 1))
                kind, level = ("worker.lost", "warn") if failure.count == 1 else ("worker.failed", "bad")
                self.teller.event(kind, gone.replica, failure.reason, level)
            elif asked:
                log.info("worker_stopped", replica=gone.replica)
        return self.see(now_s)

    def see(self, now_s: float) -> tuple[list[Running], list[Replica]]:
        running = self.driver.running()
        for one in running:
            self.roster.see(one, now_s)
        self.pulse.follow(running)
        beats = self.pulse.beats()
        replicas = see_replicas(
            running, beats, self.assumed, self.roster.draining_at_s, self.roster.stopping, self.roster.since_s,
            self.listening_since_s,
        )  # fmt: skip
        for replica in replicas:
            name = replica.replica
            said = beats[name][0].reason if name in beats else ""
            if self.roster.note_state(replica, said, now_s):
                log.info("worker_ready", replica=name, device=replica.device)
                self.teller.event("worker.ready", name, f"{name} is ready on {replica.device}.", "ok")
        return running, replicas

    # Decide and apply

    async def decide(self, replicas: list[Replica], now_s: float) -> bool:
        """Whether something was done."""
        documents = self.feed.documents
        pool = documents.pools.get(self.pool)
        if pool is None:
            return False  # no news of the pool: what runs goes on
        wishes = documents.models, documents.effective, documents.hints, pool
        facts = (
            tuple(self.roster.failures.values()),
            [(one.replica, one.state, one.draining_at_s, one.stopping) for one in replicas],
        )
        same_wishes = all(map(is_, wishes, self.decided_for)) and bool(self.decided_for)
        if same_wishes and facts == self.decided_on and now_s < self.decide_at_s:
            return False
        began_s = time.perf_counter()
        models = documents.models
        if not same_wishes:
            self.wanted = list_wanted(models.values(), documents.effective, self.pool, documents.hints)
        deleted = {name for kind, name in documents.tombstones if kind == "spec"}
        self.decision = reconcile(
            wanted=self.wanted,
            pool=pool,
            replicas=replicas,
            failures=tuple(self.roster.failures.values()),
            in_force=list_in_force(documents.effective.values(), list_unloaded(models.values(), documents.hints)),
            known=models.keys() | deleted,
            cores=self.cores,
            now_s=now_s,
        )
        # What is due only by time is looked for less often where thousands of models make the look itself long.
        rest_s = max(DECIDE_S, DECIDE_SHARE * (time.perf_counter() - began_s))
        self.decided_on, self.decided_for, self.decide_at_s = facts, wishes, now_s + rest_s
        for action in self.decision.actions:
            log.info("action", **describe(action))
            self.applier.apply(action, now_s)
        return bool(self.decision.actions)

    def keep_spares(self, replicas: list[Replica]) -> None:
        """Spares are for later: they do not compete with what loads now."""
        pool = self.feed.documents.pools.get(self.pool)
        if pool is not None and not any(one.state in LOADING for one in replicas):
            self.spares = self.driver.keep_spares(pool.spares)

    # Tell

    def tell(self, running: list[Running], replicas: list[Replica], now_s: float) -> None:
        self.teller.workers(replicas, running, self.pulse.beats(), self.roster, self.decision.shortages, now_s)
        self.teller.controller(f"{self.node}/{self.pool}", self.fence, self.spares, self.message())
        if now_s >= self.sweep_at_s and self.feed.connected:
            self.sweep_at_s = now_s + SWEEP_S
            sweep = asyncio.create_task(self.reporter.forget_workers_except(set(self.teller.rows)))
            self.sweeps.add(sweep)
            sweep.add_done_callback(self.sweeps.discard)

    def message(self) -> str:
        if self.pool not in self.feed.documents.pools:
            return f"Nothing is known of pool {self.pool!r} yet: workers that run go on, none is started."
        shortages = self.decision.shortages
        said = [f"{one.model} {one.version}: {one.reason}" for one in shortages[:SAID]]
        return " ".join([*said, *([f"And {len(shortages) - SAID} more."] if len(shortages) > SAID else [])])


def describe(action: object) -> dict[str, object]:
    if isinstance(action, Start):
        facts: dict[str, object] = {"model": action.wanted.model, "version": action.wanted.version.number,
                                    "unit": action.wanted.unit.name, "device": action.device,
                                    "threads": action.threads}  # fmt: skip
        return {"do": "start", **facts, **({"again": action.replica} if action.replica else {})}
    return {
        "do": type(action).__name__.lower(),
        **{name: getattr(action, name) for name in ("replica", "reason") if hasattr(action, name)},
    }
