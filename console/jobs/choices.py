"""Words of long work."""

from django.db import models


class OperationKind(models.TextChoices):
    VALIDATE = "validate", "Validate version"
    VERIFY = "verify", "Verify stored files"
    EXPORT = "export", "Export to ONNX"
    DEMO = "demo", "Make demo model"
    TRAFFIC = "traffic", "Send demo traffic"


class OperationState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"

    @property
    def ended(self) -> bool:
        return self in (OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED)
