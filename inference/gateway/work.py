"""One request at one unit, and what a queue knows of a replica."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from inference.errors import DeadlinePassed, SwitchyardError
from inference.log import get_log
from inference.protocol.messages import Tensor

if TYPE_CHECKING:
    from inference.gateway.batcher import UnitQueue


log = get_log()


class Slot(Protocol):
    """A replica as the queue sees it."""

    replica: str
    on_cuda: bool
    credits: int
    in_flight_rows: int
    max_rows: int
    free_since_s: float  # when it answered last
    warm_s: float  # when it last answered without an error: one that fails fast must not draw all the work

    def send(self, works: list["Work"], rows: int) -> None: ...

    def cancel(self, work: "Work") -> None: ...

    def want(self, requests: int) -> None: ...

    def works(self) -> Iterable["Work"]:
        """What it has in hand."""

    @property
    def busy(self) -> bool: ...


class UnitAnswer(Struct, gc=False):
    """What one unit made of one request."""

    tensors: Sequence[Tensor]
    queue_s: float
    compute_s: float  # the batch's time in the model, as the worker measured it
    compute_share_ns: int  # of it, this request's rows' share
    tokens: int = 0  # that a tokenizer of the unit made of it


UnitDone = Callable[[UnitAnswer | None, BaseException | None], None]


class Work:
    """One request at one unit, from when it waits until its outcome is told, which is exactly once: to `done`."""

    __slots__ = (
        "deadline_s",
        "deaths",
        "done",
        "killers",
        "level",
        "queue",
        "queued_s",
        "rows",
        "sent_s",
        "settled",
        "size_bytes",
        "slot",
        "tensors",
    )

    def __init__(
        self,
        queue: "UnitQueue",
        tensors: list[Tensor],
        rows: int,
        deadline_s: float,
        now_s: float,
        level: int,
        size_bytes: int,
        done: UnitDone | None = None,
    ):
        self.queue = queue
        self.tensors = tensors
        self.rows = rows
        self.size_bytes = size_bytes
        self.deadline_s = deadline_s
        self.level = level  # of priority; the lowest is served first
        self.done = done
        self.settled = False
        self.queued_s = now_s
        self.sent_s = 0.0
        self.slot: Slot | None = None  # where it runs; None: it waits
        self.deaths = 0
        self.killers: tuple[str, ...] = ()  # replicas that died with it in hand

    def answer(self, tensors: Sequence[Tensor], compute_s: float, share_ns: int, tokens: int) -> None:
        """Its rows have come back; see UnitAnswer."""
        self.settle(UnitAnswer(tensors, self.sent_s - self.queued_s, compute_s, share_ns, tokens))

    def settle(self, answer: UnitAnswer | None, error: BaseException | None = None) -> None:
        """Tell the outcome, once. Whatever breaks on its way to the client stays with that client."""
        if self.settled:
            return
        self.settled = True
        try:
            self.tell(answer, error)
        except Exception:
            log.exception("answer_not_delivered", unit=self.queue.key)

    def tell(self, answer: UnitAnswer | None, error: BaseException | None) -> None:
        if self.done is not None:
            self.done(answer, error)

    def expire(self) -> None:
        where = "in the model" if self.slot is not None else "in the queue"
        waited_s = monotonic() - self.queued_s
        self.fail(DeadlinePassed(f"The deadline passed after {waited_s:.3f} s {where}. Send a longer X-Timeout-Ms."))

    def fail(self, error: SwitchyardError) -> None:
        if not self.settled:
            self.leave()
            self.settle(None, error)

    def cancel(self) -> None:
        """The client hung up."""
        if not self.settled:
            self.leave()
            self.settle(None, asyncio.CancelledError())

    def leave(self) -> None:
        """Stop counting as waiting or running; nobody is interested in it any more."""
        if self.slot is not None:
            self.slot.cancel(self)
        else:
            self.queue.waiting_count -= 1
            self.queue.waiting_rows -= self.rows
