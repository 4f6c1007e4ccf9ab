"""Tables that every app stands on: the deployment's epoch, documents to publish, answers kept for a retry."""

from django.db import models
from django.utils import timezone

from console.lib.ids import new_ulid


class Deployment(models.Model):
    """One row. The epoch names this life of the database: a restored backup begins another, so readers that have
    seen later generations of the old life take its documents again."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    epoch = models.CharField(max_length=26, default=new_ulid)
    began_at = models.DateTimeField(default=timezone.now)


class OutboxMark(models.Model):
    """One row a document. `generation` counts its changes; `pending` means that the last one is not in Redis yet."""

    kind = models.CharField(max_length=16)
    key = models.CharField(max_length=128)
    generation = models.PositiveBigIntegerField(default=0)
    pending = models.BooleanField(default=True)
    marked_at = models.DateTimeField(default=timezone.now)
    published_at = models.DateTimeField(null=True)
    revision = models.PositiveBigIntegerField(default=0, help_text="The feed's revision when it was last published")
    attempts = models.PositiveIntegerField(default=0, help_text="Tries since the last mark")
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "key"], name="outbox_one_row_a_document")]
        indexes = [models.Index(fields=["marked_at"], condition=models.Q(pending=True), name="outbox_pending")]


class IdempotentAnswer(models.Model):
    """The answer to a POST with an Idempotency-Key, kept so that a retry gets it again instead of doing it twice."""

    principal = models.CharField(max_length=80)
    route = models.CharField(max_length=300)
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    status = models.PositiveSmallIntegerField(null=True, help_text="Empty while the first request is at work")
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=b"")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["principal", "route", "key"], name="one_answer_a_key")]
