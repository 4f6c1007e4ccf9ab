"""One unit's queue, with replicas that answer when the test says so."""

import asyncio
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

    def __init__(self, queue: UnitQueue, replica: str):
        self.queue = queue
        self.replica = replica
        self.on_cuda = True  # a second slot is always worth it
        self.credits = 2
        self.max_rows = 1
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
            self.queue.settle(work, UnitAnswer(work.tensors, 0.0, 0.0, 0))
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
