"""Long work as people see it: what, how far, how it ended. The queue itself belongs to django-tasks."""

from django.db import models

from console.jobs.choices import OperationKind, OperationState
from console.lib.ids import new_ulid


class Operation(models.Model):
    id = models.CharField(primary_key=True, max_length=26, default=new_ulid, editable=False)
    kind = models.CharField(max_length=16, choices=OperationKind.choices)
    subject = models.CharField(max_length=128, blank=True)  # such as minilm/2
    state = models.CharField(max_length=16, choices=OperationState.choices, default=OperationState.QUEUED)
    progress = models.FloatField(default=0.0)  # percent
    message = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)  # {"code", "detail"}
    arguments = models.JSONField(default=dict)
    attempts = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=2)
    cancel_requested = models.BooleanField(default=False)
    task_id = models.CharField(max_length=64, blank=True, db_index=True)
    worker = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    created_by = models.CharField(max_length=150, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    beat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "kind"], name="operation_state_kind")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}".strip()

    @property
    def ended(self) -> bool:
        return OperationState(self.state).ended
