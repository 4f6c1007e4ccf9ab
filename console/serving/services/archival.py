"""Taking models out of service: archived ones can come back, demo ones go for good."""

from django.db import transaction
from django.utils import timezone

from console.accounts.services import record
from console.lib.actors import Actor
from console.lib.errors import InvalidTransition
from console.registry import store
from console.registry.models import Alias, Artifact, Model, Upload
from console.registry.services.uploads import part_path
from console.registry.services.versions import drop_unused_artifact
from console.registry.services.writes import advance, mark_spec
from console.serving.models import LivePin, Outgoing, Traffic, TrafficWeight


@transaction.atomic
def archive_model(*, model: Model, seen: int, actor: Actor, reason: str = "") -> Model:
    """Stop serving a model and hide it. Its versions, traffic split and aliases are kept for `restore_model`."""
    if model.archived_at is not None:
        raise InvalidTransition(f"Model {model.name!r} is archived already.", ("restore",))
    advance(model, seen, archived_at=timezone.now())
    record(actor, "model.archive", model, reason=reason)
    mark_spec(model)
    return model


@transaction.atomic
def restore_model(*, model: Model, seen: int, actor: Actor) -> Model:
    """Serve an archived model again, as it was."""
    if model.archived_at is None:
        raise InvalidTransition(f"Model {model.name!r} is not archived.", ("archive",))
    advance(model, seen, archived_at=None)
    record(actor, "model.restore", model)
    mark_spec(model)
    return model


def delete_demo_models(*, actor: Actor) -> list[str]:
    """Remove every model that the demo made, with its versions and files. Readers get a tombstone."""
    names = []
    with store.locked_store(), transaction.atomic():
        unused: list[str] = []
        for model in Model.objects.filter(demo=True):
            record(actor, "model.delete", model, before={"versions": model.versions.count()})
            unused += delete_model(model)
            mark_spec(model)
            names.append(model.name)
        transaction.on_commit(lambda: store.remove(unused))
    return names


def delete_model(model: Model) -> list[str]:
    """Remove a model's rows; return the blobs that no row names now."""
    TrafficWeight.objects.filter(traffic__model=model).delete()
    Traffic.objects.filter(model=model).delete()
    LivePin.objects.filter(version__model=model).delete()
    Outgoing.objects.filter(version__model=model).delete()
    Alias.objects.filter(model=model).delete()
    for upload in Upload.objects.filter(model=model):
        part_path(upload).unlink(missing_ok=True)
    artifacts = list(Artifact.objects.filter(versions__model=model).distinct())
    model.versions.all().delete()
    unused = [blob for artifact in artifacts for blob in drop_unused_artifact(artifact)]
    Model.objects.filter(pk=model.pk).delete()
    return unused
