"""One replica as this gateway sees it: its connection, its credits, the batches it has in hand.

A connection that is lost is dialled again for as long as the documents say that the replica is ready: a worker that was
restarted on its socket is found again without any news. A replica that drains gets nothing new and is hung up on when
it has answered what it holds.
"""

import asyncio
import ssl
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from random import uniform
from time import monotonic

from msgspec import Struct

from inference.gateway.batcher import UnitQueue
from inference.gateway.batches import pack_apart, pack_joined, read_outputs, same_form
from inference.gateway.errors import error_of_worker
from inference.gateway.polling import LoopPolling
from inference.gateway.telemetry import Telemetry
from inference.gateway.work import Work
from inference.log import get_log
from inference.protocol.messages import Tensor
from inference.spec import DeviceKind
from inference.status import Endpoint
from inference.transport.client import Link, dial
from inference.transport.frames import (
    BadFrame,
    Cancel,
    ClientHello,
    ItemResult,
    Kind,
    Result,
    Role,
    Want,
    WorkerHello,
)  # fmt: skip

log = get_log()

REDIAL_FIRST_S = 0.02
REDIAL_LAST_S = 1.0
WHOLE = ItemResult([])  # of an item about which a joined result has nothing to say


class Batch(Struct, gc=False):
    works: list[Work]
    rows: int
    sent_s: float
    first: bool  # nothing of ours was before it, so its round trip is its own time


class Replica:
    """One replica: its connection, its credits, what it has in hand."""

    def __init__(
        self,
        endpoint: Endpoint,
        queue: UnitQueue,
        gateway: str,
        telemetry: Telemetry,
        polling: LoopPolling,
        tls: ssl.SSLContext | None = None,
    ):
        self.endpoint = endpoint
        self.replica = endpoint.replica
        self.queue = queue
        self.gateway = gateway
        self.telemetry = telemetry
        self.polling = polling
        self.tls = tls
        self.on_cuda = endpoint.device.startswith(DeviceKind.CUDA.value)
        self.credits = 0  # grants less batches sent; below zero where a credit was taken back too late
        self.shared = False  # another gateway was given what our last batch gave back
        self.max_rows = 0
        self.free_since_s = self.warm_s = float("-inf")
        self.in_flight: dict[int, Batch] = {}
        self.in_flight_rows = 0
        self.next_batch = 1
        self.wanting = False
        self.link: Link | None = None
        self.leaving = False
        self.unlinked = asyncio.Event()
        queue.expect_slot()
        self.task = asyncio.create_task(self.keep_linked(), name=f"replica {self.replica}")

    def works(self) -> Iterator[Work]:
        return chain.from_iterable([batch.works for batch in self.in_flight.values()])

    @property
    def busy(self) -> bool:
        return bool(self.in_flight)

    async def keep_linked(self) -> None:
        hello = ClientHello(Role.GATEWAY, self.gateway, self.endpoint.digest)
        pause_s = 0.0
        while not self.leaving:
            self.unlinked.clear()
            began_s = monotonic()
            try:
                await dial(self.endpoint.address, hello, self, self.tls)
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
        self.in_flight[number] = Batch(works, rows, now_s, not self.in_flight)
        self.in_flight_rows += rows
        self.polling.batch_left()
        if self.link is not None:  # always so: credits end with the link
            joined = self.queue.form.fixed or same_form(works)
            self.link.send(*(pack_joined(number, works, rows, now_s) if joined else pack_apart(number, works, now_s)))

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
        if batch is None or len(result.items) not in ((0, len(batch.works)) if result.joined else (len(batch.works),)):
            raise BadFrame(f"An answer to {len(result.items)} requests of batch {result.batch} fits nothing in hand.")
        outputs = read_outputs(result, batch.works, body)  # all of it is read before any of it is believed
        del self.in_flight[result.batch]
        self.in_flight_rows -= batch.rows
        self.credits += result.grant
        self.shared = result.grant <= 0
        if result.grant > 0:
            self.wanting = False
        self.free_since_s = now_s = monotonic()
        worker_s = (result.collate_ns + result.infer_ns + result.split_ns) / 1e9
        self.queue.batch_took(batch.rows, now_s - batch.sent_s if batch.first else worker_s, now_s)
        self.queue.refill()
        self.settle(batch, result, outputs)
        self.polling.answers_left()
        self.free_since_s = monotonic()  # for the clients, who know only now
        if self.queue.has_work:
            self.queue.pump_soon()
        if self.leaving and not self.in_flight:
            link.close()

    def settle(self, batch: Batch, result: Result, outputs: Iterable[Sequence[Tensor]]) -> None:
        queue = self.queue
        infer_s = result.infer_ns / 1e9
        if queue.form.runs_model:  # pre- and postprocess units run batches too; those are no executions of the model
            self.telemetry.batch(self.endpoint.model, self.endpoint.version, len(batch.works), batch.rows, result)
        self.warm_s = float("-inf") if any(item.error for item in result.items) else self.free_since_s
        items = result.items or [WHOLE] * len(batch.works)
        for work, item, tensors in zip(batch.works, items, outputs, strict=True):
            if work.deaths:
                queue.retries.running.discard(work)
            if item.error:
                work.settle(None, error_of_worker(item.error, item.message))
            else:
                work.answer(tensors, infer_s, result.infer_ns * work.rows // batch.rows, item.tokens)

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
            self.queue.retries.add(lost, self.replica)
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
