"""Reading long work."""

from django.db.models import QuerySet

from console.jobs.choices import OperationKind, OperationState
from console.jobs.models import Operation
from console.lib.errors import Missing

OPEN = (OperationState.QUEUED, OperationState.RUNNING)


def get_operation(operation_id: str) -> Operation:
    try:
        return Operation.objects.get(pk=operation_id)
    except Operation.DoesNotExist:
        raise Missing(f"No operation {operation_id!r}.") from None


def list_operations(*, subject: str = "", kind: str = "", open_only: bool = False) -> QuerySet[Operation]:
    found = Operation.objects.all()
    if subject:
        found = found.filter(subject=subject)
    if kind:
        found = found.filter(kind=kind)
    if open_only:
        found = found.filter(state__in=OPEN)
    return found


def open_operation(kind: OperationKind, subject: str) -> Operation | None:
    """The one that is queued or at work, if any."""
    return list_operations(kind=kind, subject=subject, open_only=True).first()


def demo_traffic() -> Operation | None:
    """The run of demo traffic that is at work, else the last one."""
    runs = list_operations(kind=OperationKind.TRAFFIC)
    return runs.filter(state__in=OPEN).first() or runs.first()
