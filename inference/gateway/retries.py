"""Requests whose worker died with them in hand: each is tried again alone, elsewhere if there is an elsewhere.

At most a few at once. One that kills again is refused and its input quarantined, so that one client cannot empty the
pool. They go before what waits, and only to a replica that is idle, so that nobody else's input can kill it first.
"""

from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING

from inference.errors import SwitchyardError
from inference.gateway.quarantine import QUARANTINE_S, Quarantine, digest_inputs, poison_input
from inference.gateway.work import Slot, Work

if TYPE_CHECKING:
    from inference.gateway.batcher import UnitQueue

MAX_RETRIES = 2  # at once, in a unit


class Retries:
    def __init__(self, queue: "UnitQueue", quarantine: Quarantine):
        self.queue = queue
        self.quarantine = quarantine
        self.waiting: deque[Work] = deque()
        self.running: set[Work] = set()

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def __iter__(self) -> Iterator[Work]:
        return iter(self.waiting)

    def add(self, works: list[Work], replica: str) -> None:
        """`replica` died with these in hand."""
        queue = self.queue
        for work in works:
            work.deaths += 1
            work.killers = (*work.killers, replica)
            self.running.discard(work)
            if work.settled:
                continue
            if work.deaths < 2:
                work.slot = None
                self.waiting.append(work)
                queue.waiting_count += 1
                queue.waiting_rows += work.rows
            else:
                self.quarantine.add(digest_inputs(queue.key, work.tensors), monotonic())
                work.settle(None, poison_input(queue.key, QUARANTINE_S))
        queue.pump_soon()

    def pump(self) -> None:
        """Send what can be sent now."""
        queue = self.queue
        while self.waiting and len(self.running) < MAX_RETRIES:
            work = self.waiting[0]
            if work.settled:
                self.waiting.popleft()
                continue
            slot = self.choose_slot(work)
            if slot is None:
                return
            self.waiting.popleft()
            queue.waiting_count -= 1
            queue.waiting_rows -= work.rows
            self.running.add(work)
            queue.dispatch(slot, [work], work.rows, monotonic())

    def choose_slot(self, work: Work) -> Slot | None:
        """An idle replica, one that it has not seen die if there is one."""
        untried = [slot for slot in self.queue.slots if slot.replica not in work.killers]
        return next((slot for slot in self.queue.idle_slots() if slot in untried or not untried), None)

    def fail(self, error: SwitchyardError) -> None:
        for work in self.waiting:
            work.fail(error)
        self.waiting.clear()
