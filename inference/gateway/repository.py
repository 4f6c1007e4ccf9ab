"""Triton's model repository calls: what there is and in what state, and hints to load or unload a model.

A hint is a document (`spec.Hint`) that the gateway publishes and the controller reads, beside the spec and never in it:
it holds until the model's spec changes. The gateway then waits for what it asked for, because clients of Triton take
the answer for the deed.
"""

import asyncio
from collections.abc import Callable
from time import time

from msgspec import Struct

from inference.errors import ModelNotFound, NotReady, UnsupportedFeature
from inference.gateway.dataplane import Dataplane
from inference.gateway.keys import may_call, require_model, require_scope
from inference.log import get_log
from inference.policy.hints import in_force, is_unloaded, next_hint
from inference.spec import ApiKey, Hint, ModelSpec, Version
from inference.status import ReplicaState
from inference.sync.feed import Feed

log = get_log()

READY, LOADING, UNLOADING, UNAVAILABLE = "READY", "LOADING", "UNLOADING", "UNAVAILABLE"
STATES = {
    ReplicaState.STARTING: LOADING, ReplicaState.LOADING: LOADING, ReplicaState.WARMING: LOADING,
    ReplicaState.READY: LOADING,  # for others; we do not reach it yet
    ReplicaState.DRAINING: UNLOADING,
}  # fmt: skip
OPERATE = "operate"
WAIT_S = 60.0
LOOK_S = 0.05
TRIES = 5

UnitKey = tuple[str, str, str]  # model, digest, unit


class Entry(Struct):
    """One version, as `repository/index` tells it."""

    name: str
    version: str
    state: str
    reason: str = ""


class Repository:
    def __init__(self, dataplane: Dataplane, feed: Feed):
        self.dataplane = dataplane
        self.feed = feed

    @property
    def offered(self) -> bool:
        """Whether there are pools, and so a controller that could act on a hint."""
        return bool(self.feed.documents.pools)

    # Index

    def index(self, principal: ApiKey, only_ready: bool = False) -> list[Entry]:
        """The live versions of the models that this key may see."""
        require_scope(principal, "infer", "read")
        states = self.replica_states()
        entries = (
            self.entry(spec, version, states)
            for name, spec in sorted(self.feed.documents.models.items())
            if may_call(principal, name)
            for version in spec.versions
        )
        return [entry for entry in entries if not only_ready or entry.state == READY]

    def replica_states(self) -> dict[UnitKey, set[str]]:
        states: dict[UnitKey, set[str]] = {}
        for endpoints in self.feed.documents.endpoints.values():
            for one in endpoints.replicas:
                if one.state in STATES:
                    states.setdefault((one.model, one.digest, one.unit), set()).add(STATES[one.state])
        return states

    def entry(self, spec: ModelSpec, version: Version, states: dict[UnitKey, set[str]]) -> Entry:
        entry = Entry(spec.name, str(version.number), UNAVAILABLE)
        unloaded = is_unloaded(spec, self.feed.documents.hints.get(spec.name))
        if self.dataplane.dispatcher.is_ready(spec.name, version):
            entry.state = UNLOADING if unloaded else READY
            return entry
        of_units = [states.get((spec.name, version.digest, unit.name), set()) for unit in version.units]
        if unloaded:
            entry.reason = "unloaded by an operator"
        for state in (UNLOADING, LOADING):
            if any(state in seen for seen in of_units):
                entry.state = state
        if entry.state == UNAVAILABLE and not entry.reason:
            missing = [unit.name for unit, seen in zip(version.units, of_units, strict=True) if not seen]
            entry.reason = f"no replica of {', '.join(missing)}"
        return entry

    # Load and unload

    async def load(self, principal: ApiKey, model: str, timeout_s: float | None) -> None:
        """At least one replica of every live version. Raises NotReady when that takes longer than `timeout_s`."""
        await self.wish(principal, model, loaded=True)
        await self.wait(lambda: self.is_loaded(model), timeout_s, f"{model!r} is not loaded yet; it was asked for.")

    async def unload(self, principal: ApiKey, model: str, timeout_s: float | None) -> None:
        """No replica of the model, and no answer from it, until it is loaded again or its spec changes."""
        await self.wish(principal, model, loaded=False)
        await self.wait(lambda: not self.has_slots(model), timeout_s, f"{model!r} still unloads.")

    async def wish(self, principal: ApiKey, model: str, *, loaded: bool) -> None:
        require_scope(principal, OPERATE)
        require_model(principal, model)
        if not self.offered:
            raise UnsupportedFeature("No controller runs workers here, so nobody could load or unload a model.")
        for _ in range(TRIES):  # another process may wish at the same time
            documents = self.feed.documents
            spec, held = documents.models.get(model), documents.hints.get(model)
            if spec is None:
                raise ModelNotFound(model[:80])
            standing = in_force(spec, held)
            if standing is not None and standing.loaded is loaded:
                return
            if await self.feed.publish("hint", model, next_hint(spec, held, loaded, principal.id, time())):
                log.info("hint_sent", model=model, loaded=loaded, by=principal.id)
                return
            await self.catch_up(model, held)
        raise NotReady(f"Others load and unload {model!r} at the same time; try again.")

    async def catch_up(self, model: str, held: Hint | None) -> None:
        for _ in range(int(1.0 / LOOK_S)):
            if self.feed.documents.hints.get(model) is not held:
                return
            await asyncio.sleep(LOOK_S)

    async def wait(self, done: Callable[[], bool], timeout_s: float | None, why: str) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + min(timeout_s or WAIT_S, WAIT_S)
        while not done():
            if loop.time() >= end_s:
                raise NotReady(f"{why} POST /v2/repository/index tells how far it is.", retry_after_s=5.0)
            await asyncio.sleep(LOOK_S)

    def is_loaded(self, model: str) -> bool:
        spec = self.feed.documents.models.get(model)
        return spec is not None and all(self.dataplane.dispatcher.is_ready(model, one) for one in spec.versions)

    def has_slots(self, model: str) -> bool:
        return any(queue.ready for queue in self.dataplane.dispatcher.queues.get(model, {}).values())
