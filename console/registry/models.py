"""What is registered: models, their immutable versions, the names that point at them, and files on their way in."""

from typing import Any

import msgspec
from django.db import models
from django.db.models.functions import Lower
from django.urls import reverse

from console.lib.ids import new_ulid
from console.registry.choices import Format, Source, UploadState, VersionState
from inference import spec


class Model(models.Model):
    """What a client calls. Its name is its address everywhere: in the REST tree, in pages and in the OIP path."""

    name = models.CharField(max_length=63, unique=True)
    description = models.TextField(blank=True)
    owner = models.CharField(max_length=100, blank=True)
    tags = models.JSONField(default=list)  # sorted strings
    slo_latency_p95_s = models.FloatField(null=True, blank=True)
    slo_error_percent = models.FloatField(null=True, blank=True)
    pool = models.CharField(max_length=63, default="default")
    demo = models.BooleanField(default=False)
    next_version = models.PositiveIntegerField(default=1)  # numbers are never given twice, not even after a delete
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True)
    updated_at = models.DateTimeField(auto_now=True)
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("model", args=[self.name])

    @property
    def audit_subject(self) -> str:
        return f"model/{self.name}"


class Artifact(models.Model):
    """Files known by their content. Two versions of the same bytes share one artifact, and files share blobs."""

    digest = models.CharField(max_length=64, unique=True)
    size_bytes = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"sha256:{self.digest[:12]}"


class ArtifactFile(models.Model):
    artifact = models.ForeignKey(Artifact, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64, db_index=True)
    size_bytes = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["artifact", "path"], name="one_file_a_path")]

    def __str__(self) -> str:
        return self.path


class Version(models.Model):
    """One immutable artifact with its signature and stages. Only notes and state change after validation."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=VersionState.choices, default=VersionState.UPLOADED)
    format = models.CharField(max_length=16, choices=Format.choices)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.UPLOAD)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children")
    artifact = models.ForeignKey(Artifact, null=True, blank=True, on_delete=models.PROTECT, related_name="versions")
    digest = models.CharField(max_length=64, blank=True)  # spec.version_digest
    signature = models.JSONField(null=True, blank=True)
    stages = models.JSONField(default=list, blank=True)
    units = models.JSONField(default=list, blank=True)
    parameters = models.PositiveBigIntegerField(null=True, blank=True)
    checks = models.JSONField(default=list, blank=True)  # [{"name", "title", "passed": true|false|null, "why"}]
    notes = models.TextField(blank=True)
    native_by = models.CharField(max_length=150, blank=True)  # who accepted that loading this runs code
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True)
    validated_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["model_id", "-number"]
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="one_version_a_number")]

    def __str__(self) -> str:
        return f"{self.model.name} v{self.number}"

    def get_absolute_url(self) -> str:
        return reverse("version", args=[self.model.name, self.number])

    @property
    def audit_subject(self) -> str:
        return f"version/{self.model.name}/{self.number}"

    @property
    def label(self) -> str:
        return f"v{self.number}"

    @property
    def ready(self) -> bool:
        return self.state == VersionState.READY

    @property
    def refusals(self) -> list[dict[str, Any]]:
        """The checks that failed, with why."""
        return [check for check in self.checks if check["passed"] is False]

    def signature_spec(self) -> spec.Signature:
        return msgspec.convert(self.signature or {"inputs": [], "outputs": []}, spec.Signature)

    def stage_specs(self) -> tuple[spec.Stage, ...]:
        return msgspec.convert(self.stages, tuple[spec.Stage, ...])

    def unit_specs(self) -> tuple[spec.Unit, ...]:
        return msgspec.convert(self.units, tuple[spec.Unit, ...])


class Alias(models.Model):
    """A movable name of one version. Champion and champion are the same name; the spelling first given is kept."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=63)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="aliases")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.CharField(max_length=150, blank=True)
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("model", Lower("name"), name="one_alias_a_name")]

    def __str__(self) -> str:
        return f"{self.model.name}@{self.name}"

    @property
    def audit_subject(self) -> str:
        return f"alias/{self.model.name}/{self.name}"


class Upload(models.Model):
    """A file on its way in, a chunk at a time. `offset_bytes` is the truth; what lies past it on disk is cut off."""

    id = models.CharField(primary_key=True, max_length=26, default=new_ulid, editable=False)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="uploads")
    filename = models.CharField(max_length=200)
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    format = models.CharField(max_length=16, choices=Format.choices)
    native = models.BooleanField(default=False)
    notes = models.TextField(blank=True)
    offset_bytes = models.PositiveBigIntegerField(default=0)
    state = models.CharField(max_length=16, choices=UploadState.choices, default=UploadState.RECEIVING)
    version = models.ForeignKey(Version, null=True, blank=True, on_delete=models.SET_NULL, related_name="uploads")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True)
    expires_at = models.DateTimeField(db_index=True)
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.filename} for {self.model.name}"

    @property
    def percent(self) -> float:
        return 100.0 * self.offset_bytes / self.size_bytes if self.size_bytes else 100.0
