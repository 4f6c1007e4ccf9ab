"""The queue of one unit of one version: bounded, late-binding, deadline-aware.

Work waits here until a replica has a free slot. All that arrives in one turn of the event loop is looked at once, at
its end, so that it travels as one frame; there is no timer while nothing waits. The policies decide the rest.
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import chain
from time import monotonic

from inference.errors import DeadlinePassed, NotReady, QueueFull
from inference.gateway import order
from inference.gateway.batches import UnitForm
from inference.gateway.deadlines import DeadlineWatch
from inference.gateway.holding import Holding
from inference.gateway.quarantine import Quarantine, digest_inputs, poison_input
from inference.gateway.retries import Retries
from inference.gateway.waiting import resolve
from inference.gateway.work import Slot, UnitAnswer, UnitDone, Work
from inference.policy.batching import (
    DEFAULT_LEVEL,
    LatencyModel,
    level_of,
    rows_in_time,
    wait_s,
    worth_second_slot,
)  # fmt: skip
from inference.policy.gathering import Gathering
from inference.policy.sharing import ArrivalRate, fair_rows, sustaining_rows
from inference.protocol.messages import Tensor
from inference.spec import Unit

RECOVERY_S = 30.0  # a unit whose replica was lost or announced this recently has one soon: requests wait for it
TRUST_S = 2.0  # a latency model that heard nothing for so long refuses nobody: it may be wrong and never learn it
MAX_BATCH_BYTES = 256 * 1024 * 1024  # far below what a frame may hold


class UnitQueue:
    def __init__(self, key: str, unit: Unit, form: UnitForm, quarantine: Quarantine, loop: asyncio.AbstractEventLoop):
        self.key = key  # such as minilm/1/main, for messages
        self.unit = unit
        self.quarantine = quarantine
        self.loop = loop
        self.deadlines = DeadlineWatch(loop, self.in_hand)
        self.slots: list[Slot] = []  # replicas with an open connection
        self.holders: set[Slot] = set()  # those that were given work, and may have left meanwhile
        self.waiting: deque[Work] = deque()  # may hold some that left; the counts do not
        self.retries = Retries(self, quarantine)
        self.waiting_count = 0
        self.waiting_rows = 0
        self.model = LatencyModel()
        self.last_slot_s = float("-inf")  # when a replica was last linked, lost or announced
        self.observed_s = float("-inf")  # when a batch was last answered
        self.gathering, self.rate, self.arrived_rows = Gathering(), ArrivalRate(), 0
        self.pump_due = self.wanted = False
        self.holding = Holding(loop, self.pump, self.pump_soon)
        self.form = form

    @property
    def ready(self) -> bool:
        return bool(self.slots)

    async def submit(self, tensors: list[Tensor], rows: int, deadline_s: float, priority: int = 0) -> UnitAnswer:
        """The unit's answer, once it is there. Raises Busy kinds at once, DeadlinePassed, or what the model raised."""
        future: asyncio.Future[UnitAnswer] = self.loop.create_future()
        work = self.enqueue(tensors, rows, deadline_s, priority, partial(resolve, future))
        try:
            return await future
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            del future, work  # an error that is raised here holds this frame, and must not hold itself

    def enqueue(self, tensors: list[Tensor], rows: int, deadline_s: float, priority: int, done: UnitDone) -> Work:
        """Let a request wait for the unit; `done` gets its answer. Raises Busy kinds and DeadlinePassed, at once."""
        now_s = monotonic()
        level = level_of(priority) if priority else DEFAULT_LEVEL
        self.check_admission(tensors, deadline_s, now_s, level)
        size_bytes = sum([len(tensor.data) for tensor in tensors])
        work = Work(self, tensors, rows, deadline_s, now_s, level, size_bytes, done)
        self.line_up(work)
        return work

    def line_up(self, work: Work) -> None:
        """Let admitted work wait, in order."""
        rows, level, deadline_s = work.rows, work.level, work.deadline_s
        waiting = self.waiting
        if waiting and ((last := waiting[-1]).level > level or (last.level == level and last.deadline_s > deadline_s)):
            order.insert(waiting, work)
        else:
            waiting.append(work)
        self.waiting_count += 1
        self.waiting_rows += rows
        self.arrived_rows += rows
        self.gathering.arrived(rows, work.queued_s)
        if deadline_s < self.deadlines.earliest_s:
            self.deadlines.add(deadline_s)
        if not self.pump_due:
            self.pump_soon()

    def in_hand(self) -> Iterator[Work]:
        """All that is not answered yet; some of it may have left."""
        self.holders = {slot for slot in self.holders if slot.busy}
        return chain(self.waiting, self.retries, *(slot.works() for slot in self.holders))

    def check_admission(self, tensors: list[Tensor], deadline_s: float, now_s: float, level: int) -> None:
        if not self.slots and now_s - self.last_slot_s > RECOVERY_S:
            raise NotReady(f"No replica of {self.key} is ready yet; it may be loading.", retry_after_s=2.0)
        if now_s >= deadline_s:
            raise DeadlinePassed("The deadline had passed before the request could wait for a replica.")
        if self.quarantine:
            left_s = self.quarantine.left_s(digest_inputs(self.key, tensors), now_s)
            if left_s:
                raise poison_input(self.key, left_s)
        if self.waiting_count >= self.unit.queue.max_requests and not self.make_room(level):
            raise self.full()

    def make_room(self, level: int) -> bool:
        """Send away the last of a less urgent level; whether there was one."""
        last = order.pop_less_urgent(self.waiting, level)
        if last is not None:
            last.fail(self.full())
        return last is not None

    def full(self) -> QueueFull:
        return QueueFull(
            f"{self.waiting_count} requests wait for {self.key} already, the most its queue holds.",
            retry_after_s=self.drain_estimate_s(),
        )

    def drain_estimate_s(self) -> float:
        """How long until what waits now is done, by what a batch has been taking."""
        batches = -(-self.waiting_rows // self.unit.batch.max_size)
        return batches * self.model.predict_s(self.unit.batch.max_size) / max(1, len(self.slots))

    # Replicas come and go

    def expect_slot(self) -> None:
        """A ready replica was announced; its connection is being made."""
        self.last_slot_s = monotonic()

    def add_slot(self, slot: Slot) -> None:
        self.slots.append(slot)
        self.pump_soon()

    def remove_slot(self, slot: Slot) -> None:
        if slot in self.slots:
            self.slots.remove(slot)
            self.last_slot_s = monotonic()

    def close(self) -> None:
        """The version is no longer served: what waits is told so."""
        error = NotReady(f"{self.key} was unloaded while the request waited.")
        for work in self.waiting:
            work.fail(error)
        self.waiting.clear()
        self.retries.fail(error)

    # Answers

    def batch_took(self, rows: int, seconds: float, now_s: float) -> None:
        self.gathering.answered(rows, now_s)
        self.observed_s = now_s
        self.model.observe(rows, seconds)

    # Forming batches

    @property
    def has_work(self) -> bool:
        """Whether a pump would do anything: each costs a turn of the event loop."""
        return bool(self.waiting or self.retries or self.wanted)

    def pump_soon(self) -> None:
        if not self.pump_due:
            self.pump_due = True
            self.loop.call_soon(self.pump)

    def refill(self) -> None:
        """Before answers are handed out, as encoding takes milliseconds; short batches gather this turn's arrivals."""
        if self.waiting_rows and not worth_second_slot(self.model, on_cuda=False):
            self.pump()

    def pump(self) -> None:
        """Send what can be sent. Called once a loop turn at most, after all its arrivals."""
        self.pump_due = False
        if self.retries:
            self.retries.pump()
        while self.waiting_rows and self.waiting:
            free = self.free_slots()
            if not free:
                break
            slot = self.choose_slot(free)
            now_s = monotonic()
            most = min(self.unit.batch.max_size, slot.max_rows)
            running = sum([other.in_flight_rows for other in self.slots])
            ours = sum([other.credits > 0 or other.busy for other in self.slots])  # not what other gateways hold
            if (hold_s := self.hold_s(free, running, ours, most, now_s)) > 0:
                self.holding.hold(hold_s)
                break
            rate = self.rate.read(self.arrived_rows, now_s)
            enough = sustaining_rows(rate, self.model.base_s, self.model.row_s, ours, most)
            share = fair_rows(self.waiting_rows, running, len(free), ours, most, enough)
            works, rows = self.take(share, most, now_s)
            if works:
                self.dispatch(slot, works, rows, now_s)
        if self.waiting_count or self.wanted:
            self.say_want()
        if len(self.waiting) > 2 * self.unit.queue.max_requests:
            self.waiting = deque(work for work in self.waiting if not work.settled)

    def say_want(self) -> None:
        """Tell shared workers that work waits for a credit of theirs, and that none does any more."""
        self.wanted = self.waiting_count > 0 and not any(slot.credits > 0 for slot in self.slots)
        for slot in self.slots:
            slot.want(self.waiting_count if self.wanted else 0)

    def hold_s(self, free: list[Slot], running: int, replicas: int, most: int, now_s: float) -> float:
        """How long to wait for more before the next batch leaves."""
        policy, rows = self.unit.batch, self.waiting_rows
        if policy.max_wait_s:
            left_s = order.earliest_s(self.waiting) - now_s - self.model.bound_s(min(rows, most))
            return wait_s(rows, now_s - order.oldest_s(self.waiting, now_s), left_s, policy)
        since_s = min([slot.free_since_s for slot in free])
        return self.gathering.hold_s(rows, running, replicas, most, self.model.base_s, since_s, now_s)

    def idle_slots(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.credits > 0 and not slot.busy]

    def free_slots(self) -> list[Slot]:
        """Replicas that would take a batch: idle ones, else those whose second slot is worth it."""
        free = self.idle_slots()
        if not free and not self.retries:  # those go to idle replicas alone: let one become so
            free = [slot for slot in self.slots if slot.credits > 0 and self.worth_second_slot(slot)]
        return free

    def choose_slot(self, free: list[Slot]) -> Slot:
        """The less laden of two, or the one that answered last: its weights are in the caches (MiniLM: 9 % faster)."""
        if len(free) == 1:
            return free[0]
        one, other = random.sample(free, 2)
        return one if (one.in_flight_rows, -one.warm_s) <= (other.in_flight_rows, -other.warm_s) else other

    def worth_second_slot(self, slot: Slot) -> bool:
        """Whether to send a busy replica its next batch ahead: on a CPU only one that waiting cannot make larger."""
        full = self.waiting_rows >= min(self.unit.batch.max_size, slot.max_rows)
        return (full or slot.on_cuda) and worth_second_slot(self.model, slot.on_cuda)

    def take(self, share: int, most: int, now_s: float) -> tuple[list[Work], int]:
        """The next batch: `share` rows (one request may bring more, up to `most`), all still in time."""
        works: list[Work] = []
        rows, limit, size_bytes = 0, share, 0
        trusted = now_s - self.observed_s < TRUST_S
        roomy_s = float("inf")  # a deadline that leaves time for the largest batch; later ones do, too
        waiting = self.waiting
        while waiting:
            work = waiting[0]
            if work.settled:
                waiting.popleft()
                continue
            wanted = rows + work.rows
            if works and (wanted > limit or size_bytes + work.size_bytes > MAX_BATCH_BYTES):
                break
            if trusted and work.deadline_s < roomy_s:
                in_time = rows_in_time(self.model, most, work.deadline_s - now_s)
                if in_time >= most:
                    roomy_s = work.deadline_s
                elif in_time < work.rows:
                    waiting.popleft()
                    work.fail(DeadlinePassed("The deadline would pass before the model could answer; not tried."))
                    continue
                elif works and wanted > in_time:
                    break
                else:
                    limit = min(limit, max(in_time, wanted))
            waiting.popleft()
            works.append(work)
            rows = wanted
            size_bytes += work.size_bytes
            if rows >= most:
                break
        self.waiting_count -= len(works)
        self.waiting_rows -= rows
        return works, rows

    def dispatch(self, slot: Slot, works: list[Work], rows: int, now_s: float) -> None:
        self.holders.add(slot)
        for work in works:
            work.slot = slot
            work.sent_s = now_s
        slot.send(works, rows)
