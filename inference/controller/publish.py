"""What gateways route by: the endpoints of the pool, and of each model the weights in force."""

from collections.abc import Iterable

from inference.drivers.base import Running
from inference.log import get_log
from inference.policy.effective import decide_effective, list_ready
from inference.policy.replicas import Replica
from inference.spec import ModelSpec
from inference.status import Endpoint, Endpoints, ReplicaState
from inference.sync.feed import Feed

log = get_log()

MAX_MODELS = 100  # whose weights are written in one round: each is an fsync


class Publisher:
    """Writes only what changed. `dirty` are the models whose weights must be looked at again."""

    def __init__(self, feed: Feed, pool: str, node: str):
        self.feed = feed
        self.pool = pool
        self.node = node
        self.dirty: set[str] = set()
        self.ready: dict[str, set[int]] = {}  # by model

    def look_at_all(self) -> None:
        """Under a new fence everything is said anew."""
        self.dirty.update(self.feed.documents.models, self.feed.documents.effective)

    async def publish_endpoints(self, replicas: Iterable[Replica], running: Iterable[Running], fence: int) -> None:
        addresses = {one.replica: one.address for one in running}
        endpoints = tuple(
            Endpoint(
                replica=one.replica,
                address=addresses[one.replica],
                model=one.model,
                version=one.version,
                digest=one.digest,
                unit=one.unit,
                device=one.device,
                state=shown_state(one),
                node=self.node,
            )
            for one in sorted(replicas, key=lambda one: one.replica)
        )
        current = self.feed.documents.endpoints.get(self.pool)
        if current is not None and current.fence == fence and current.replicas == endpoints:
            return
        revision = current.revision + 1 if current is not None and current.fence == fence else 1
        document = Endpoints(pool=self.pool, fence=fence, revision=revision, replicas=endpoints)
        if not await self.feed.publish("endpoints", self.pool, document):
            log.warning("endpoints_refused", fence=fence, revision=revision, why="a newer document stands already")

    def note_ready(self, replicas: Iterable[Replica]) -> list[tuple[str, int]]:
        """See which versions answer now; those that did not before."""
        by_model: dict[str, list[Replica]] = {}
        for one in replicas:
            by_model.setdefault(one.model, []).append(one)
        models = self.feed.documents.models
        fresh = []
        for name in by_model.keys() | self.ready.keys():
            before = self.ready.get(name, set())
            ready = list_ready(models[name], by_model.get(name, ())) if name in models else set()
            if ready != before:
                self.dirty.add(name)
                fresh += [(name, version) for version in sorted(ready - before)]
            if ready:
                self.ready[name] = ready
            else:
                self.ready.pop(name, None)
        return fresh

    async def publish_effective(self, fence: int) -> None:
        for name in list(self.dirty)[:MAX_MODELS]:
            self.dirty.discard(name)
            model = self.feed.documents.find("spec", name)
            if not isinstance(model, ModelSpec) or model.pool != self.pool:
                continue
            current = self.feed.documents.effective.get(name)
            document = decide_effective(model, current, self.ready.get(name, ()), fence)
            if document is not current and not await self.feed.publish("effective", name, document):
                log.warning("weights_refused", model=name, fence=fence, why="a newer document stands already")


def shown_state(replica: Replica) -> ReplicaState:
    return ReplicaState.DRAINING if replica.draining_at_s is not None or replica.stopping else replica.state
