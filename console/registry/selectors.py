"""Reading the registry. Each `get_…` raises `Missing` with what there is instead; lists are querysets, to be paged."""

from django.conf import settings
from django.db.models import Count, Max, Q, QuerySet, Sum

from console.lib.errors import Missing
from console.lib.numbers import read_whole
from console.registry.choices import STABLE, UploadState, VersionState
from console.registry.models import Alias, ArtifactFile, Model, Upload, Version


def list_models(*, query: str = "", tag: str = "", archived: bool = False) -> QuerySet[Model]:
    """Models by name, each with `version_count`; archived ones only when asked for."""
    found = Model.objects.filter(archived_at__isnull=not archived)
    if query:
        found = found.filter(Q(name__icontains=query) | Q(description__icontains=query) | Q(owner__icontains=query))
    if tag:
        # Tags are short and few; a JSON `contains` look-up does not exist on SQLite.
        found = found.filter(tags__icontains=f'"{tag}"')
    # A grouped query forgets the model's own order.
    return found.annotate(version_count=Count("versions")).prefetch_related("aliases__version").order_by("name")


def all_models() -> QuerySet[Model]:
    """Archived ones too, for a filter to choose from."""
    counted = Model.objects.annotate(version_count=Count("versions"))
    return counted.prefetch_related("aliases__version").order_by("name")


def get_model(name: str) -> Model:
    try:
        return Model.objects.get(name=name)
    except Model.DoesNotExist:
        raise Missing(f"No model is called {name!r}. The Models page lists those there are.") from None


def list_versions(model: Model) -> QuerySet[Version]:
    """Newest first, with artifact and aliases at hand."""
    return model.versions.select_related("artifact", "parent", "model").prefetch_related("aliases").order_by("-number")


def get_version(model: Model, number: int) -> Version:
    try:
        return Version.objects.select_related("artifact", "parent", "model").get(model=model, number=number)
    except Version.DoesNotExist:
        raise Missing(f"Model {model.name!r} has no version {number}.") from None


def list_files(version: Version) -> list[ArtifactFile]:
    return list(version.artifact.files.all()) if version.artifact else []


def list_aliases(model: Model) -> QuerySet[Alias]:
    return model.aliases.select_related("version")


def get_alias(model: Model, name: str) -> Alias:
    """Whatever its case: Champion and champion are one alias."""
    try:
        return Alias.objects.select_related("version", "model").get(model=model, name__iexact=name)
    except Alias.DoesNotExist:
        known = ", ".join(model.aliases.values_list("name", flat=True)) or "none yet"
        raise Missing(f"Model {model.name!r} has no alias {name!r}; it has: {known}.") from None


def resolve_version(model: Model, reference: str) -> Version:
    """The version that a number, `v3`, an alias or `latest` (the newest ready one) means now."""
    text = reference.lower()
    if text == "latest":
        newest = list_versions(model).filter(state=VersionState.READY).first()
        if newest is None:
            raise Missing(f"Model {model.name!r} has no ready version yet.")
        return newest
    number = read_whole(text.removeprefix("v"), otherwise=-1)
    if number >= 0:
        return get_version(model, number)
    return get_alias(model, reference).version


def stable_version(model: Model) -> Version | None:
    # In Python: lists have the aliases at hand already.
    return next((alias.version for alias in model.aliases.all() if alias.name == STABLE), None)


def list_uploads(model: Model | None = None) -> QuerySet[Upload]:
    """Uploads under way."""
    uploads = Upload.objects.filter(state=UploadState.RECEIVING).select_related("model")
    return uploads.filter(model=model) if model else uploads


def get_upload(upload_id: str) -> Upload:
    try:
        return Upload.objects.select_related("model", "version").get(pk=upload_id)
    except Upload.DoesNotExist:
        raise Missing(
            f"No upload {upload_id!r}: it was completed long ago, cancelled, or expired. Begin it again."
        ) from None


def find_version_by_upload_sha256(model: Model, sha256: str) -> Version | None:
    """The version that the same bytes made before, unless it was refused."""
    earlier = (
        Upload.objects.filter(model=model, sha256=sha256, version__isnull=False)
        .exclude(version__state=VersionState.REFUSED)
        .select_related("version")
        .first()
    )
    return earlier.version if earlier else None


def storage_used_bytes() -> int:
    """What the quota counts: each stored blob once, and each upload under way as if it were complete."""
    blobs = ArtifactFile.objects.values("sha256").annotate(blob_bytes=Max("size_bytes"))
    stored = blobs.aggregate(total=Sum("blob_bytes"))["total"] or 0
    coming = Upload.objects.filter(state=UploadState.RECEIVING).aggregate(total=Sum("size_bytes"))["total"] or 0
    return stored + coming


def storage_quota_bytes() -> int:
    return int(settings.UPLOAD_QUOTA_BYTES)
