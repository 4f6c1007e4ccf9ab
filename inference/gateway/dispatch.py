"""The pool as the documents say it is: a queue for each unit, a connection to each ready replica."""

import asyncio
import ssl
from collections.abc import Callable

from inference.errors import BadDocument
from inference.gateway.batcher import UnitQueue
from inference.gateway.batches import UnitForm
from inference.gateway.polling import LoopPolling
from inference.gateway.quarantine import Quarantine
from inference.gateway.replica import Replica
from inference.gateway.telemetry import Telemetry
from inference.log import get_log
from inference.policy.units import check_units, unit_signature, unit_stages
from inference.spec import StageKind, Unit, Version
from inference.status import Endpoint, Endpoints, ReplicaState

log = get_log()

QueueKey = tuple[int, str, str]  # version, its digest, unit
FindVersion = Callable[[Endpoint], Version | None]


class Dispatcher:
    """Every replica and queue of this process."""

    def __init__(
        self,
        gateway: str,
        telemetry: Telemetry,
        loop: asyncio.AbstractEventLoop,
        tls: ssl.SSLContext | None = None,
        poll_s: float = 0.0,
    ):
        self.gateway = gateway
        self.telemetry = telemetry
        self.loop = loop
        self.tls = tls
        self.quarantine = Quarantine()
        self.polling = LoopPolling(loop, poll_s)
        self.queues: dict[str, dict[QueueKey, UnitQueue]] = {}
        self.replicas: dict[str, dict[str, Replica]] = {}  # pool → replica id → replica

    def queue_for(self, model: str, version: Version, unit: Unit) -> UnitQueue:
        """The queue of a unit; the same one across generations for as long as the version's digest is the same.

        Raises BadDocument for a version that cannot run as it is written.
        """
        queues = self.queues.setdefault(model, {})
        key = (version.number, version.digest, unit.name)
        queue = queues.get(key)
        if queue is None:
            check_units(version)
            name = f"{model}/{version.number}/{unit.name}"
            queue = UnitQueue(name, unit, form_of(version, unit), self.quarantine, self.loop)
            queues[key] = queue
        elif queue.unit != unit:
            queue.unit = unit
        return queue

    def keep_queues(self, model: str, versions: tuple[Version, ...]) -> None:
        """Close the queues of versions that the model no longer has."""
        queues = self.queues.get(model, {})
        live = {(version.number, version.digest, unit.name) for version in versions for unit in version.units}
        for key in [key for key in queues if key not in live]:
            queue = queues.pop(key)
            queue.close()
            for held in self.replicas.values():
                for name in [name for name, replica in held.items() if replica.queue is queue]:
                    held.pop(name).leave()
        if not queues:
            self.queues.pop(model, None)

    def is_ready(self, model: str, version: Version) -> bool:
        """Whether every unit of the version has a replica that would take work now."""
        queues = self.queues.get(model, {})
        return all(
            (queue := queues.get((version.number, version.digest, unit.name))) is not None and queue.ready
            for unit in version.units
        )

    def apply(self, endpoints: Endpoints, find_version: FindVersion) -> None:
        """Hold the replicas of one pool to its document. One of a version we do not know yet waits for its spec."""
        held = self.replicas.setdefault(endpoints.pool, {})
        ready: dict[str, Endpoint] = {}
        for endpoint in endpoints.replicas:
            if endpoint.state is ReplicaState.READY:
                ready[endpoint.replica] = endpoint
        for name in [name for name, replica in held.items() if not same_place(replica.endpoint, ready.get(name))]:
            held.pop(name).leave()
        for name, endpoint in ready.items():
            version = find_version(endpoint)
            unit = next((unit for unit in version.units if unit.name == endpoint.unit), None) if version else None
            if name in held or version is None or unit is None:
                continue
            try:
                queue = self.queue_for(endpoint.model, version, unit)
            except BadDocument as error:
                log.error("replica_refused", replica=name, error=str(error))
                continue
            held[name] = Replica(endpoint, queue, self.gateway, self.telemetry, self.polling, self.tls)

    @property
    def waiting(self) -> int:
        return sum(queue.waiting_count for queues in self.queues.values() for queue in queues.values())

    async def stop(self) -> None:
        replicas = [replica for pool in self.replicas.values() for replica in pool.values()]
        await asyncio.gather(*(replica.stop() for replica in replicas))


def form_of(version: Version, unit: Unit) -> UnitForm:
    inputs = unit_signature(version, unit).inputs
    return UnitForm(
        runs_model=any(stage.kind is StageKind.INFER for stage in unit_stages(version, unit)),
        fixed=all(size >= 0 for tensor in inputs for size in tensor.shape[1:]),
    )


def same_place(held: Endpoint, wanted: Endpoint | None) -> bool:
    return wanted is not None and (held.address, held.digest, held.unit) == (wanted.address, wanted.digest, wanted.unit)
