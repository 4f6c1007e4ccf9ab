"""One attempt at an operation, from the queue's call to its end. Nothing is lost in silence: every end is written.

An attempt ends by success; by `Cancelled`, which a person asked for; by `Stopping`, because the program ends, which
puts the work back as if it had not begun; by an error that a further try cannot mend; or by any other error, which
is tried again while attempts are left.
"""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from console.jobs.choices import OperationState
from console.jobs.identity import worker_name
from console.jobs.models import Operation
from console.jobs.queue import enqueue
from console.lib.errors import Busy, ConsoleError, StorageFull

log = structlog.get_logger()

BEAT_S = 0.5
RETRY_AFTER = timedelta(seconds=5)
MAX_MESSAGE = 500

stopping = threading.Event()  # set when the `jobs` program is asked to end


class Cancelled(Exception):
    """Somebody cancelled the operation."""


class Stopping(Exception):
    """The program is about to end; the work is put back."""


class Beat:
    """What work calls between its steps: writes how far it is, and ends it where that was asked for.

    At most twice a second, so work may call it as often as it likes. It is called from the work itself and not from a
    thread: work that is stuck shows as such.
    """

    def __init__(self, operation: Operation):
        self.operation = operation
        self.next_s = 0.0

    def __call__(self, progress: float, message: str) -> None:
        if stopping.is_set():
            raise Stopping
        if time.monotonic() < self.next_s:
            return
        self.next_s = time.monotonic() + BEAT_S
        mine = Operation.objects.filter(pk=self.operation.pk, state=OperationState.RUNNING, cancel_requested=False)
        beaten = mine.filter(worker=self.operation.worker).update(
            progress=min(100.0, max(0.0, progress)),
            message=message[:MAX_MESSAGE],
            beat_at=timezone.now(),
            row_version=F("row_version") + 1,
        )
        if not beaten:
            raise Cancelled


Work = Callable[[Operation, Beat], dict[str, Any]]


def attempt(operation_id: str, works: dict[str, Work]) -> None:
    """Run one attempt and write its end."""
    operation = begin(operation_id)
    if operation is None:
        return  # cancelled while it waited, or taken by another
    try:
        result = works[operation.kind](operation, Beat(operation))
    except Cancelled:
        end(operation, OperationState.CANCELLED, message="Cancelled")
    except Stopping:
        put_back(operation)
    except Exception as error:
        fail(operation, error)
    else:
        end(operation, OperationState.SUCCEEDED, progress=100.0, result=result, error=None, message=result["message"])


def begin(operation_id: str) -> Operation | None:
    now = timezone.now()
    taken = Operation.objects.filter(pk=operation_id, state=OperationState.QUEUED).update(
        state=OperationState.RUNNING,
        worker=worker_name(),
        attempts=F("attempts") + 1,
        started_at=now,
        beat_at=now,
        row_version=F("row_version") + 1,
    )
    return Operation.objects.get(pk=operation_id) if taken else None


def end(operation: Operation, state: OperationState, **values: Any) -> bool:
    """Write an end, unless somebody else (orphan recovery) has decided about this attempt meanwhile."""
    mine = Operation.objects.filter(pk=operation.pk, state=OperationState.RUNNING, worker=operation.worker)
    done = mine.update(state=state, finished_at=timezone.now(), row_version=F("row_version") + 1, **values)
    log.info("operation_ended", kind=operation.kind, subject=operation.subject, state=state.value)
    return bool(done)


def fail(operation: Operation, error: Exception) -> None:
    """A refusal of ours is final, except where time may mend it; anything else is tried again."""
    final = isinstance(error, ConsoleError) and not isinstance(error, Busy | StorageFull)
    if not final and operation.attempts < operation.max_attempts:
        log.warning("operation_retried", kind=operation.kind, subject=operation.subject, error=str(error))
        put_back(operation, counted=True, message=f"Tried and failed ({describe(error)[1]}); trying again")
        return
    if not isinstance(error, ConsoleError):
        log.exception("operation_failed", kind=operation.kind, subject=operation.subject)
    code, detail = describe(error)
    end(operation, OperationState.FAILED, error={"code": code, "detail": detail}, message=detail[:MAX_MESSAGE])


def describe(error: Exception) -> tuple[str, str]:
    """What people may see: our own errors in full, of any other one its kind; the log has the rest."""
    if isinstance(error, ConsoleError):
        return error.code, str(error)
    return "internal", f"An internal error ({type(error).__name__}); the log of `jobs` says more."


@transaction.atomic
def put_back(operation: Operation, *, counted: bool = False, message: str = "Waiting for a new start") -> None:
    """Queue it again; an attempt that the program's end cut off is not counted."""
    mine = Operation.objects.filter(pk=operation.pk, state=OperationState.RUNNING, worker=operation.worker)
    back = mine.update(
        state=OperationState.QUEUED,
        worker="",
        attempts=F("attempts") - (0 if counted else 1),
        message=message[:MAX_MESSAGE],
        row_version=F("row_version") + 1,
    )
    if back:
        operation.refresh_from_db()
        enqueue(operation, timezone.now() + RETRY_AFTER if counted else None)
