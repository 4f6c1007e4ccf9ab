"""Handing operations to django-tasks. Enqueuing is a row in the caller's transaction: no work without its reason."""

from datetime import datetime

from console.jobs.choices import OperationKind
from console.jobs.models import Operation
from console.jobs.tasks import run_operation

TRAFFIC_QUEUE = "traffic"  # three minutes of demo traffic must not hold up a validation
DEFAULT_QUEUE = "default"
PRIORITY = {OperationKind.VALIDATE: 10, OperationKind.DEMO: -10}  # a person's upload goes before what nobody waits for


def enqueue(operation: Operation, after: datetime | None = None) -> None:
    queue = TRAFFIC_QUEUE if operation.kind == OperationKind.TRAFFIC else DEFAULT_QUEUE
    priority = PRIORITY.get(OperationKind(operation.kind), 0)
    result = run_operation.using(queue_name=queue, run_after=after, priority=priority).enqueue(operation.pk)
    operation.task_id = str(result.id)
    operation.save(update_fields=["task_id"])
