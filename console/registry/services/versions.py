"""Versions: numbered, annotated, put away and removed. What they hold is checked in `validation`."""

from django.db import models, transaction
from django.db.models import F
from django.utils import timezone

from console.accounts.services import record
from console.lib.actors import Actor
from console.lib.errors import Conflict, Invalid, InvalidTransition
from console.lib.permissions import check_right
from console.lib.rights import NATIVE
from console.registry import store
from console.registry.choices import Format, VersionState
from console.registry.models import Alias, Artifact, ArtifactFile, Model, Version
from console.registry.services.writes import advance

MAX_NOTES = 10_000


@transaction.atomic
def add_version(
    *,
    model: Model,
    format: str,
    actor: Actor,
    source: str,
    native: bool = False,
    parent: Version | None = None,
    notes: str = "",
) -> Version:
    """Give the next number to a version whose files are still to be checked."""
    if model.archived_at is not None:
        raise InvalidTransition(f"Model {model.name!r} is archived. Restore it before adding versions.", ("restore",))
    check_native(format, native, actor)
    Model.objects.filter(pk=model.pk).update(next_version=F("next_version") + 1)
    model.refresh_from_db(fields=["next_version"])
    version = Version.objects.create(
        model=model,
        number=model.next_version - 1,
        format=Format(format),
        source=source,
        parent=parent,
        notes=notes[:MAX_NOTES],
        native_by=actor.actor_name if native and Format(format).runs_code else "",
        created_by=actor.actor_name,
    )
    record(actor, "version.add", version, after={"format": format, "source": source, "native": native})
    return version


def check_native(format: str, native: bool, actor: Actor) -> None:
    """Formats that run code when loaded take a person with the right, who says yes to it in so many words."""
    if format not in Format.values:
        raise Invalid.field("format", f"{format!r} is not a format; these are: {', '.join(Format.values)}.")
    if not Format(format).runs_code:
        return
    check_right(actor, NATIVE)
    if not native:
        raise Invalid.field(
            "native", f"Loading {Format(format).label} runs code from the file. Send native=true to accept that."
        )


@transaction.atomic
def update_notes(*, version: Version, notes: str, seen: int, actor: Actor) -> Version:
    if len(notes) > MAX_NOTES:
        raise Invalid.field("notes", f"Notes have at most {MAX_NOTES} characters.")
    before = version.notes
    advance(version, seen, notes=notes)
    record(actor, "version.update", version, before={"notes": before}, after={"notes": notes})
    return version


@transaction.atomic
def archive_version(*, version: Version, seen: int, actor: Actor) -> Version:
    """Put a version away: it keeps its files and number, and cannot be given traffic until it is restored."""
    if version.state not in (VersionState.READY, VersionState.REFUSED):
        raise InvalidTransition(f"{version} is {version.get_state_display().lower()}; only a ready or refused one can.")
    if users := live_uses(version):
        raise Conflict(f"{version} is live: {users}. Move that away first.")
    before = version.state
    advance(version, seen, state=VersionState.ARCHIVED, archived_at=timezone.now())
    record(actor, "version.archive", version, before={"state": before}, after={"state": version.state})
    return version


@transaction.atomic
def restore_version(*, version: Version, seen: int, actor: Actor) -> Version:
    if version.state != VersionState.ARCHIVED:
        raise InvalidTransition(f"{version} is not archived.")
    state = VersionState.READY if version.artifact_id else VersionState.REFUSED
    advance(version, seen, state=state, archived_at=None)
    record(actor, "version.restore", version, before={"state": "archived"}, after={"state": state})
    return version


def delete_version(*, version: Version, seen: int, actor: Actor) -> None:
    """Remove a version for good, and its files where no other version has them. Its number is not given again."""
    with store.locked_store(), transaction.atomic():
        if version.state in (VersionState.UPLOADED, VersionState.VALIDATING):
            raise InvalidTransition(f"{version} is being validated; wait for it, or cancel its operation.")
        if users := live_uses(version):
            raise Conflict(f"{version} is live: {users}. Move that away first.")
        advance(version, seen)
        artifact = version.artifact
        record(actor, "version.delete", version, before={"state": version.state, "digest": version.digest})
        version.delete()
        unused = drop_unused_artifact(artifact) if artifact else []
        transaction.on_commit(lambda: store.remove(unused))


def drop_unused_artifact(artifact: Artifact) -> list[str]:
    """Remove the rows of an artifact that no version has any more; return the blobs that no row names now."""
    if artifact.versions.exists():
        return []
    digests = set(artifact.files.values_list("sha256", flat=True))
    artifact.delete()
    kept = set(ArtifactFile.objects.filter(sha256__in=digests).values_list("sha256", flat=True))
    return sorted(digests - kept)


def live_uses(version: Version) -> str:
    """What keeps a version live, in words; empty when nothing does."""
    uses = [f"alias {alias.name}" for alias in version.aliases.all()]
    # The apps above hang their uses on the version by protected references; they are found without being imported.
    for relation in Version._meta.related_objects:
        if relation.on_delete is models.PROTECT and relation.related_model is not Alias:
            held = relation.field.model._default_manager.filter(**{relation.field.name: version})
            uses += [str(item) for item in held]
    return ", ".join(uses)


def sweep_store() -> int:
    """Remove what crashes left in the store: blobs that no row names, workspaces that nobody works in."""
    removed = 0
    with store.locked_store():
        named = set(ArtifactFile.objects.values_list("sha256", flat=True))
        for blob in store.old_blobs():
            if blob.name not in named:
                blob.unlink(missing_ok=True)
                removed += 1
        store.remove_old_workspaces()
    return removed
