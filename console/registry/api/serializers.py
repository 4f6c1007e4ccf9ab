"""What the registry shows and takes over REST. Durations are in milliseconds there, seconds in here."""

from typing import Any

from rest_framework import serializers

from console.registry.choices import Format, Source, UploadState, VersionState
from console.registry.models import Alias, Artifact, ArtifactFile, Model, Upload, Version
from console.registry.selectors import stable_version
from console.registry.services import MAX_CHUNK_BYTES


class Milliseconds(serializers.FloatField):
    """Seconds in the database, milliseconds on the wire."""

    def to_representation(self, value: float) -> Any:
        return round(value * 1000, 6)

    def to_internal_value(self, data: Any) -> float:
        return super().to_internal_value(data) / 1000


class ModelSerializer(serializers.ModelSerializer[Model]):
    tags = serializers.ListField(child=serializers.CharField())
    slo_latency_p95_ms = Milliseconds(source="slo_latency_p95_s", allow_null=True)
    stable_version = serializers.SerializerMethodField()
    version_count = serializers.SerializerMethodField()

    class Meta:
        model = Model
        fields = (
            "name", "description", "owner", "tags", "slo_latency_p95_ms", "slo_error_percent", "pool", "demo",
            "stable_version", "version_count", "archived_at", "created_at", "created_by", "updated_at", "row_version",
        )  # fmt: skip
        read_only_fields = fields

    def get_stable_version(self, model: Model) -> int | None:
        version = stable_version(model)
        return version.number if version else None

    def get_version_count(self, model: Model) -> int:
        counted = getattr(model, "version_count", None)
        return model.versions.count() if counted is None else int(counted)


class ChangeModelSerializer(serializers.Serializer[Any]):
    description = serializers.CharField(max_length=10_000, allow_blank=True, required=False)
    owner = serializers.CharField(max_length=100, allow_blank=True, required=False)
    tags = serializers.ListField(child=serializers.CharField(max_length=40), max_length=20, required=False)
    slo_latency_p95_ms = Milliseconds(source="slo_latency_p95_s", allow_null=True, required=False)
    slo_error_percent = serializers.FloatField(allow_null=True, required=False, min_value=0, max_value=100)


class CreateModelSerializer(ChangeModelSerializer):
    name = serializers.CharField(max_length=63)


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)


class FileSerializer(serializers.ModelSerializer[ArtifactFile]):
    class Meta:
        model = ArtifactFile
        fields = ("path", "sha256", "size_bytes")


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    files = FileSerializer(many=True, read_only=True)

    class Meta:
        model = Artifact
        fields = ("digest", "size_bytes", "files")


class TensorSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    datatype = serializers.CharField()
    shape = serializers.ListField(child=serializers.IntegerField(), help_text="-1 where it varies; axis 0 is the batch")


class SignatureSerializer(serializers.Serializer[Any]):
    inputs = TensorSerializer(many=True)
    outputs = TensorSerializer(many=True)


class VersionCheckSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    passed = serializers.BooleanField(allow_null=True, help_text="null: not reached")
    why = serializers.CharField(allow_blank=True)


class VersionSerializer(serializers.ModelSerializer[Version]):
    model = serializers.CharField(source="model.name", read_only=True)
    state = serializers.ChoiceField(VersionState.choices)
    format = serializers.ChoiceField(Format.choices)
    source: Any = serializers.ChoiceField(Source.choices)  # a name that DRF's own fields have too
    parent: Any = serializers.SerializerMethodField()
    artifact = ArtifactSerializer(allow_null=True)
    signature = SignatureSerializer(allow_null=True)
    stages = serializers.ListField(child=serializers.DictField())
    units = serializers.ListField(child=serializers.DictField())
    checks = VersionCheckSerializer(many=True)
    aliases = serializers.SerializerMethodField()

    class Meta:
        model = Version
        fields = (
            "model", "number", "state", "format", "source", "parent", "digest", "artifact", "signature", "stages",
            "units", "parameters", "checks", "aliases", "notes", "native_by", "created_at", "created_by",
            "validated_at", "archived_at", "row_version",
        )  # fmt: skip
        read_only_fields = fields

    def get_parent(self, version: Version) -> int | None:
        return version.parent.number if version.parent else None

    def get_aliases(self, version: Version) -> list[str]:
        return [alias.name for alias in version.aliases.all()]


class ChangeVersionSerializer(serializers.Serializer[Any]):
    notes = serializers.CharField(max_length=10_000, allow_blank=True)


class AliasSerializer(serializers.ModelSerializer[Alias]):
    model = serializers.CharField(source="model.name", read_only=True)
    version = serializers.IntegerField(source="version.number")

    class Meta:
        model = Alias
        fields = ("model", "name", "version", "created_at", "updated_at", "updated_by", "row_version")
        read_only_fields = fields


class SetAliasSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1)


class UploadSerializer(serializers.ModelSerializer[Upload]):
    model = serializers.CharField(source="model.name", read_only=True)
    size = serializers.IntegerField(source="size_bytes")
    offset = serializers.IntegerField(source="offset_bytes", help_text="Where the next chunk begins")
    format = serializers.ChoiceField(Format.choices)
    state = serializers.ChoiceField(UploadState.choices)
    chunk_bytes = serializers.SerializerMethodField(help_text="The largest chunk that is taken")
    version = serializers.SerializerMethodField()

    class Meta:
        model = Upload
        fields = (
            "id", "model", "filename", "size", "sha256", "format", "native", "notes", "offset", "chunk_bytes", "state",
            "version", "created_at", "created_by", "expires_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_chunk_bytes(self, upload: Upload) -> int:
        return MAX_CHUNK_BYTES

    def get_version(self, upload: Upload) -> int | None:
        return upload.version.number if upload.version else None


class CreateUploadSerializer(serializers.Serializer[Any]):
    model = serializers.CharField(max_length=63)
    filename = serializers.CharField(max_length=200)
    size = serializers.IntegerField(min_value=1, max_value=2**53)
    sha256 = serializers.RegexField(r"^[0-9a-fA-F]{64}$", help_text="Of the whole file")
    format = serializers.ChoiceField(Format.choices)
    native = serializers.BooleanField(default=False, help_text="Accept that loading this format runs code from it")
    notes = serializers.CharField(max_length=10_000, default="", allow_blank=True)
