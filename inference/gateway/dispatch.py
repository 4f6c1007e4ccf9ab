"""Replicas and the queues they serve: follows the endpoints documents, keeps one connection to each ready replica.

A connection that is lost is dialled again for as long as the document says the replica is ready: a worker that was
restarted on its socket is found again without any news. A replica that drains gets nothing new and is hung up on when
it has answered what it holds.
"""

import asyncio
import ssl
from collections.abc import Callable
from random import uniform
from time import monotonic

from msgspec import Struct

from inference.gateway.batcher import UnitAnswer, UnitQueue, Work, is_cuda
from inference.gateway.deadlines import Deadlines
from inference.gateway.errors import error_of_worker
from inference.gateway.quarantine import Quarantine
from inference.gateway.telemetry import Telemetry
from inference.log import get_log
from inference.policy.units import unit_stages
from inference.spec import StageKind, Unit, Version
from inference.status import Endpoint, Endpoints, ReplicaState
from inference.transport.client import Link, dial
from inference.transport.frames import (
    BadFrame,
    Cancel,
    ClientHello,
    Data,
    Item,
    Kind,
    Result,
    Role,
    Want,
    WorkerHello,
    head_of,
    pack,
    tensors_of,
)

log = get_log()

REDIAL_FIRST_S = 0.02
REDIAL_LAST_S = 1.0

QueueKey = tuple[int, str, str]  # version, its digest, unit
FindVersion = Callable[[Endpoint], Version | None]


class Batch(Struct, gc=False):
    works: list[Work]
    rows: int
    sent_s: float


class Replica:
    """One replica: its connection, its credits, what it has in hand."""

    def __init__(self, endpoint: Endpoint, queue: UnitQueue, pool: "Dispatcher"):
        self.endpoint = endpoint
        self.replica = endpoint.replica
        self.queue = queue
        self.pool = pool
        self.on_cuda = is_cuda(endpoint.device)
        self.credits = 0  # grants less batches sent; below zero where a credit was taken back too late
        self.shared = False  # another gateway was given what our last batch gave back
        self.max_rows = 0
        self.in_flight: dict[int, Batch] = {}
        self.in_flight_rows = 0
        self.next_batch = 1
        self.wanting = False
        self.link: Link | None = None
        self.leaving = False
        self.unlinked = asyncio.Event()
        queue.expect_slot()
        self.task = asyncio.create_task(self.keep_linked(), name=f"replica {self.replica}")

    @property
    def busy(self) -> bool:
        return bool(self.in_flight)

    async def keep_linked(self) -> None:
        hello = ClientHello(Role.GATEWAY, self.pool.gateway, self.endpoint.digest)
        pause_s = 0.0
        while not self.leaving:
            self.unlinked.clear()
            began_s = monotonic()
            try:
                await dial(self.endpoint.address, hello, self, self.pool.tls)
            except OSError as error:
                log.debug("replica_not_reached", replica=self.replica, error=str(error))
            else:
                await self.unlinked.wait()
                if monotonic() - began_s > REDIAL_LAST_S:
                    pause_s = 0.0
            pause_s = min(REDIAL_LAST_S, max(REDIAL_FIRST_S, pause_s * 2))
            await asyncio.sleep(pause_s * uniform(0.5, 1.0))  # noqa: S311 -- spreads many gateways, no secret

    # What the queue asks

    def send(self, works: list[Work], rows: int) -> None:
        now_s = monotonic()
        number = self.next_batch
        self.next_batch += 1
        self.credits -= 1
        self.in_flight[number] = Batch(works, rows, now_s)
        self.in_flight_rows += rows
        items, body = [], []
        for work in works:
            left_ms = max(1, int((work.deadline_s - now_s) * 1000))
            items.append(Item(work.rows, left_ms, [head_of(tensor) for tensor in work.tensors]))
            body.extend([tensor.data for tensor in work.tensors])
        assert self.link is not None
        self.link.send(pack(Kind.DATA, Data(number, items), body))

    def cancel(self, work: Work) -> None:
        """The client of `work` is gone: the worker may drop it if it has not begun."""
        for number, batch in self.in_flight.items():
            if work in batch.works and self.link is not None:
                self.link.send_header(Kind.CANCEL, Cancel(number, [batch.works.index(work)]))

    def want(self, requests: int) -> None:
        """Say that work waits, or no longer. A lone gateway never needs to: each answer brings its credit back."""
        if self.link is None or self.wanting is (requests > 0):
            return
        if requests and self.in_flight and not self.shared:
            return
        self.wanting = requests > 0
        self.link.send_header(Kind.WANT, Want(requests))

    # What the connection tells

    def link_ready(self, link: Link, hello: WorkerHello) -> None:
        if hello.digest != self.endpoint.digest or hello.unit != self.endpoint.unit:
            link.abort(f"another replica answers there: {hello.replica}")
            return
        if self.leaving:
            link.close()
            return
        self.link = link
        self.max_rows = max(1, hello.max_rows)
        self.queue.add_slot(self)
        log.info("replica_linked", replica=self.replica, unit=self.queue.key, address=self.endpoint.address)

    def link_granted(self, link: Link, credits: int) -> None:
        self.credits += credits
        if credits > 0:
            self.wanting = False
            self.queue.pump_soon()
        else:
            self.shared = True

    def link_answered(self, link: Link, result: Result, body: memoryview) -> None:
        batch = self.in_flight.get(result.batch)
        if batch is None or len(result.items) != len(batch.works):
            raise BadFrame(f"An answer to {len(result.items)} requests of batch {result.batch} fits nothing in hand.")
        offset, outputs = 0, []
        for item in result.items:  # all of it is read before any of it is believed
            tensors, offset = tensors_of(item.tensors, body, offset)
            outputs.append(tensors)
        del self.in_flight[result.batch]
        self.in_flight_rows -= batch.rows
        self.credits += result.grant
        self.shared = result.grant <= 0
        if result.grant > 0:
            self.wanting = False
        now_s = monotonic()
        self.queue.batch_took(batch.rows, now_s - batch.sent_s, now_s)
        self.settle(batch, result, outputs)
        self.queue.pump_soon()
        if self.leaving and not self.in_flight:
            link.close()

    def settle(self, batch: Batch, result: Result, outputs: list) -> None:
        queue = self.queue
        infer_s = result.infer_ns / 1e9
        if queue.runs_model:  # pre- and postprocess units run batches too; those are no executions of the model
            self.pool.telemetry.batch(self.endpoint.model, self.endpoint.version, len(batch.works), result)
        for work, item, tensors in zip(batch.works, result.items, outputs, strict=True):
            if not item.error:
                share_ns = result.infer_ns * work.rows // batch.rows
                queue.answered(work, UnitAnswer(tensors, work.sent_s - work.queued_s, infer_s, share_ns))
            else:
                queue.failed(work, error_of_worker(item.error, item.message))

    def link_draining(self, link: Link, reason: str) -> None:
        """No more work to this one; it answers what it holds and ends. Its successor may come on the same address."""
        self.queue.remove_slot(self)
        self.credits = 0

    def link_lost(self, link: Link, why: str) -> None:
        if self.link is link:
            self.link = None
            self.credits = 0
            self.wanting = False
            self.queue.remove_slot(self)
            lost = [work for batch in self.in_flight.values() for work in batch.works]
            self.in_flight.clear()
            self.in_flight_rows = 0
            if not self.leaving or lost:
                log.warning("replica_lost", replica=self.replica, why=why, in_hand=len(lost))
            self.queue.worker_died(lost, self.replica)
        self.unlinked.set()

    # The end

    def leave(self) -> None:
        """Take no more work; hang up once what is in hand is answered."""
        self.leaving = True
        self.queue.remove_slot(self)
        if self.link is None:
            self.task.cancel()
        elif not self.in_flight:
            self.link.close()

    async def stop(self) -> None:
        self.leaving = True
        if self.link is not None:
            self.link.close()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Dispatcher:
    """Every replica and queue of this process."""

    def __init__(
        self,
        gateway: str,
        telemetry: Telemetry,
        loop: asyncio.AbstractEventLoop,
        tls: ssl.SSLContext | None = None,
    ):
        self.gateway = gateway
        self.telemetry = telemetry
        self.loop = loop
        self.tls = tls
        self.deadlines = Deadlines(loop)
        self.quarantine = Quarantine()
        self.queues: dict[str, dict[QueueKey, UnitQueue]] = {}
        self.replicas: dict[str, dict[str, Replica]] = {}  # pool → replica id → replica

    def queue_for(self, model: str, version: Version, unit: Unit) -> UnitQueue:
        """The queue of a unit; the same one across generations for as long as the version's digest is the same."""
        queues = self.queues.setdefault(model, {})
        key = (version.number, version.digest, unit.name)
        queue = queues.get(key)
        if queue is None:
            name = f"{model}/{version.number}/{unit.name}"
            runs_model = any(stage.kind is StageKind.INFER for stage in unit_stages(version, unit))
            queue = UnitQueue(name, unit, runs_model, self.deadlines, self.quarantine, self.loop)
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
            held[name] = Replica(endpoint, self.queue_for(endpoint.model, version, unit), self)

    @property
    def waiting(self) -> int:
        return sum(queue.waiting_count for queues in self.queues.values() for queue in queues.values())

    @property
    def in_flight(self) -> int:
        return sum(
            len(batch.works)
            for replicas in self.replicas.values()
            for replica in replicas.values()
            for batch in replica.in_flight.values()
        )

    async def stop(self) -> None:
        replicas = [replica for pool in self.replicas.values() for replica in pool.values()]
        await asyncio.gather(*(replica.stop() for replica in replicas))


def same_place(held: Endpoint, wanted: Endpoint | None) -> bool:
    return wanted is not None and (held.address, held.digest, held.unit) == (wanted.address, wanted.digest, wanted.unit)
