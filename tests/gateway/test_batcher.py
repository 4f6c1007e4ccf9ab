"""One unit's queue, with replicas that answer when the test says so."""

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from inference.gateway.batcher import UnitQueue
from inference.gateway.batches import UnitForm
from inference.gateway.quarantine import Quarantine
from inference.gateway.work import UnitAnswer, Work
from inference.protocol.messages import Tensor
from inference.spec import BatchPolicy, Unit


class Hands:
    """A replica with two slots; it holds its batches until told to answer."""

    def __init__(self, queue: UnitQueue, replica: str, max_rows: int = 1):
        self.queue = queue
        self.replica = replica
        self.on_cuda = True  # a second slot is always worth it
        self.credits = 2
        self.max_rows = max_rows
        self.free_since_s = self.warm_s = 0.0
        self.in_flight: list[list[Work]] = []

    @property
    def in_flight_rows(self) -> int:
        return sum(work.rows for batch in self.in_flight for work in batch)

    @property
    def busy(self) -> bool:
        return bool(self.in_flight)

    def send(self, works: list[Work], rows: int) -> None:
        self.credits -= 1
        self.in_flight.append(works)

    def cancel(self, work: Work) -> None:
        pass

    def want(self, requests: int) -> None:
        pass

    def works(self) -> list[Work]:
        return [work for batch in self.in_flight for work in batch]

    def answer_one(self) -> None:
        self.credits += 1
        for work in self.in_flight.pop(0):
            self.queue.retries.running.discard(work)
            work.answer(work.tensors, 0.0, 0, 0)
        self.queue.pump_soon()


@pytest.mark.asyncio
async def test_a_retry_is_not_starved_by_a_crowd_that_fills_every_slot() -> None:
    loop = asyncio.get_running_loop()
    unit = Unit(name="main", stages=("infer",), batch=BatchPolicy(max_size=1))
    queue = UnitQueue("model/1/main", unit, UnitForm(runs_model=True, fixed=True), Quarantine(), loop)
    first, second = Hands(queue, "first"), Hands(queue, "second")

    def ask(name: str) -> asyncio.Task[UnitAnswer]:
        return asyncio.create_task(queue.submit([Tensor(name, "INT8", (1,), b"1")], 1, monotonic() + 60))

    queue.add_slot(first)
    unlucky = ask("unlucky")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    queue.add_slot(second)
    crowd = [ask("crowd") for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(second.in_flight) == 2

    lost = [work for batch in first.in_flight for work in batch]
    queue.remove_slot(first)
    queue.retries.add(lost, "first")
    for _ in range(5):  # the crowd is always there, so the second replica always has more to do
        await asyncio.sleep(0)
        second.answer_one()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert unlucky.done()
    assert not all(one.done() for one in crowd)
    while second.in_flight:
        second.answer_one()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(unlucky, *crowd)


@pytest.mark.asyncio
async def test_of_idle_replicas_the_one_that_answered_well_last_is_asked() -> None:
    unit = Unit(name="main", stages=("infer",), batch=BatchPolicy(max_size=1))
    form = UnitForm(runs_model=True, fixed=True)
    queue = UnitQueue("model/1/main", unit, form, Quarantine(), asyncio.get_running_loop())
    warm, cold = Hands(queue, "warm"), Hands(queue, "cold")
    for slot in (cold, warm):
        queue.add_slot(slot)
    warm.warm_s, cold.warm_s = 2.0, 1.0
    assert queue.choose_slot(queue.free_slots()) is warm
    warm.warm_s = float("-inf")  # it has failed since
    assert queue.choose_slot(queue.free_slots()) is cold


def queue_of(policy: BatchPolicy) -> UnitQueue:
    unit = Unit(name="main", stages=("infer",), batch=policy)
    form = UnitForm(runs_model=True, fixed=True)
    return UnitQueue("model/1/main", unit, form, Quarantine(), asyncio.get_running_loop())


def ask(queue: UnitQueue, timeout_s: float) -> asyncio.Task[UnitAnswer]:
    return asyncio.create_task(queue.submit([Tensor("x", "INT8", (1,), b"1")], 1, monotonic() + timeout_s))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_batch_is_not_held_past_the_deadline_of_what_is_in_it_nor_of_what_comes_later() -> None:
    queue = queue_of(BatchPolicy(max_size=8, max_wait_s=10.0))
    hands = Hands(queue, "hands", max_rows=8)
    queue.batch_took(1, 0.005, monotonic())
    queue.add_slot(hands)
    patient = ask(queue, timeout_s=60.0)
    await until(lambda: queue.holding.timer)
    assert not hands.in_flight
    hurried = ask(queue, timeout_s=0.3)
    await until(lambda: hands.in_flight)
    hands.answer_one()
    await asyncio.gather(patient, hurried)


@pytest.mark.asyncio
async def test_rows_are_shared_among_the_replicas_that_are_ours_to_use() -> None:
    """Not with one whose slots other gateways hold: who keeps a share for it halves each of its batches."""
    queue = queue_of(BatchPolicy(max_size=8))
    ours, theirs = Hands(queue, "ours", max_rows=8), Hands(queue, "theirs", max_rows=8)
    theirs.credits = 0
    queue.add_slot(ours)
    queue.add_slot(theirs)
    asked = [ask(queue, timeout_s=60.0) for _ in range(8)]
    await until(lambda: ours.in_flight)
    assert [len(batch) for batch in ours.in_flight] == [8]
    ours.answer_one()
    await asyncio.gather(*asked)
