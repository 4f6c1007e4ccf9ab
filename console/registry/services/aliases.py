"""Aliases: movable names of one version each. `stable` is not moved here: it follows the traffic."""

from django.db import IntegrityError, transaction

from console.accounts.services import record
from console.lib.actors import Actor
from console.lib.errors import Invalid, StaleWrite
from console.registry.choices import ALIAS_PATTERN, RESERVED_ALIAS, STABLE
from console.registry.models import Alias, Model, Version
from console.registry.services.writes import advance, check_assignable, mark_spec


@transaction.atomic
def set_alias(*, model: Model, name: str, to: Version, seen: int, actor: Actor) -> Alias:
    """Point a name at a version: made where it is new (`seen` 0), moved otherwise."""
    check_alias_name(name)
    return place_alias(model=model, name=name, to=to, seen=seen, actor=actor)


def place_alias(*, model: Model, name: str, to: Version, seen: int | None, actor: Actor) -> Alias:
    """Within a transaction. `seen` None moves whatever is there: for callers that hold a wider compare-and-set."""
    check_assignable(model, to)
    held = Alias.objects.select_related("version").filter(model=model, name__iexact=name).first()
    if held is None:
        if seen:
            raise StaleWrite(f"The alias {name!r} was deleted meanwhile; reload to see those there are.")
        try:
            with transaction.atomic():
                alias = Alias.objects.create(model=model, name=name, version=to, updated_by=actor.actor_name)
        except IntegrityError:
            raise StaleWrite(f"The alias {name!r} was made meanwhile; reload to see where it points.") from None
        record(actor, "alias.create", alias, after={"version": to.number})
    else:
        alias, before = held, held.version.number
        if before == to.number:
            return alias
        advance(alias, alias.row_version if seen is None else seen, version=to, updated_by=actor.actor_name)
        record(actor, "alias.move", alias, before={"version": before}, after={"version": to.number})
    mark_spec(model)
    return alias


@transaction.atomic
def delete_alias(*, alias: Alias, seen: int, actor: Actor) -> None:
    check_alias_name(alias.name)
    advance(alias, seen)
    model, number = alias.model, alias.version.number
    alias.delete()
    record(actor, "alias.delete", alias, before={"version": number})
    mark_spec(model)


def check_alias_name(name: str) -> None:
    if not ALIAS_PATTERN.match(name):
        raise Invalid.field("name", f"{name!r} cannot be an alias: 1 to 63 letters, digits, dashes and underscores.")
    if RESERVED_ALIAS.match(name):
        raise Invalid.field("name", f"{name!r} is reserved: it already means a version.", "reserved")
    if name.lower() == STABLE:
        raise Invalid.field(
            "name", "The alias 'stable' follows the traffic: set the stable version instead.", "reserved"
        )
