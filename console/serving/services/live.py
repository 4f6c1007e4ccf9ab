"""Which versions stay loaded besides those with traffic or an alias."""

from django.db import transaction

from console.accounts.services import record
from console.lib.actors import Actor
from console.lib.errors import Conflict
from console.registry.models import Version
from console.registry.services.writes import check_assignable, mark_spec
from console.serving.models import LivePin


@transaction.atomic
def keep_loaded(*, version: Version, actor: Actor) -> LivePin:
    """Load a version and keep it addressable by number. Twice is once."""
    check_assignable(version.model, version)
    pin, created = LivePin.objects.get_or_create(version=version, defaults={"created_by": actor.actor_name})
    if created:
        record(actor, "version.load", version)
        mark_spec(version.model)
    return pin


@transaction.atomic
def release_version(*, version: Version, actor: Actor) -> bool:
    """No longer keep a version loaded by hand; False where it was not kept.

    One that has traffic or an alias stays; that is said, not ignored.
    """
    if version.weights.exists():
        raise Conflict(f"{version} has traffic, so it stays loaded. Move its traffic away first.")
    if names := ", ".join(version.aliases.values_list("name", flat=True)):
        raise Conflict(f"{version} is named by alias {names}, so it stays loaded. Move or delete that first.")
    deleted, _ = LivePin.objects.filter(version=version).delete()
    if deleted:
        record(actor, "version.unload", version)
        mark_spec(version.model)
    return bool(deleted)
