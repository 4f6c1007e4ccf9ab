"""What keeps long work honest: attempts whose worker died are found and tried again or failed, old rows go away."""

from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from console.jobs.choices import OperationState
from console.jobs.identity import is_alive
from console.jobs.models import Operation
from console.jobs.queue import enqueue
from console.jobs.works import give_up
from console.lib.errors import ConsoleError
from console.registry import services as registry

log = structlog.get_logger()

SILENT = timedelta(seconds=60)  # a worker elsewhere that did not write for so long is taken for dead
KEEP = timedelta(days=30)
KEEP_TASKS = timedelta(days=2)


def recover_orphans() -> int:
    """Running operations whose worker is gone: again while attempts are left, else failed with the reason."""
    count = 0
    for operation in Operation.objects.filter(state=OperationState.RUNNING):
        alive = is_alive(operation.worker)
        silent = operation.beat_at is None or operation.beat_at < timezone.now() - SILENT
        if alive or (alive is None and not silent):
            continue
        count += recover(operation)
    return count


@transaction.atomic
def recover(operation: Operation) -> int:
    again = operation.attempts < operation.max_attempts and not operation.cancel_requested
    mine = Operation.objects.filter(pk=operation.pk, state=OperationState.RUNNING, worker=operation.worker)
    if again:
        changed = mine.update(
            state=OperationState.QUEUED,
            worker="",
            message="The program that ran this ended; it runs again",
            row_version=F("row_version") + 1,
        )
    else:
        detail = f"The program that ran this ended in the middle of attempt {operation.attempts}."
        state = OperationState.CANCELLED if operation.cancel_requested else OperationState.FAILED
        changed = mine.update(
            state=state,
            message=detail,
            error={"code": "orphaned", "detail": detail},
            finished_at=timezone.now(),
            row_version=F("row_version") + 1,
        )
    if changed:
        log.warning("orphan_recovered", kind=operation.kind, subject=operation.subject, again=again)
        DBTaskResult.objects.filter(pk=operation.task_id).exclude(status="SUCCESSFUL").update(
            status="FAILED", finished_at=timezone.now()
        )
        operation.refresh_from_db()
        if again:
            enqueue(operation)
        else:
            give_up(operation, operation.message)
    return changed


def forget_old() -> None:
    """Bounded tables and folders: finished work, finished queue rows, idle uploads, what crashes left in the store."""
    now = timezone.now()
    Operation.objects.filter(finished_at__lt=now - KEEP).delete()
    DBTaskResult.objects.filter(finished_at__lt=now - KEEP_TASKS).delete()
    try:
        registry.expire_uploads()
        registry.sweep_store()
    except (ConsoleError, OSError) as error:
        log.warning("housekeeping_failed", error=str(error))
