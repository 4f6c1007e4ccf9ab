"""Models: made, described, and given their targets. Archiving touches traffic, so `serving` does it."""

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction

from console.accounts.services import record
from console.lib.actors import Actor
from console.lib.errors import AlreadyExists, Invalid
from console.registry.choices import NAME_PATTERN
from console.registry.models import Model
from console.registry.services.writes import advance, mark_spec

EDITABLE = ("description", "owner", "tags", "slo_latency_p95_s", "slo_error_percent")
MAX_DESCRIPTION = 10_000
MAX_TAGS = 20
MAX_TAG = 40


@transaction.atomic
def create_model(
    *,
    name: str,
    actor: Actor,
    description: str = "",
    owner: str = "",
    tags: Iterable[str] = (),
    slo_latency_p95_s: float | None = None,
    slo_error_percent: float | None = None,
    demo: bool = False,
) -> Model:
    if not NAME_PATTERN.match(name):
        raise Invalid.field(
            "name",
            f"{name!r} cannot be a model's name: 1 to 63 of a-z, 0-9, '.', '-' and '_', a letter or digit first.",
        )
    fields = check_model_fields(
        {
            "description": description,
            "owner": owner,
            "tags": list(tags),
            "slo_latency_p95_s": slo_latency_p95_s,
            "slo_error_percent": slo_error_percent,
        }
    )
    try:
        with transaction.atomic():
            model = Model.objects.create(name=name, demo=demo, created_by=actor.actor_name, **fields)
    except IntegrityError:
        raise AlreadyExists(f"A model is called {name!r} already. Add a version to it, or take another name.") from None
    record(actor, "model.create", model, after={"name": name, **fields})
    return model


@transaction.atomic
def update_model(*, model: Model, changes: dict[str, Any], seen: int, actor: Actor) -> Model:
    fields = check_model_fields(changes)
    before = {name: getattr(model, name) for name in fields}
    advance(model, seen, **fields)
    record(actor, "model.update", model, before=before, after=fields)
    mark_spec(model)
    return model


def check_model_fields(fields: dict[str, Any]) -> dict[str, Any]:
    unknown = set(fields) - set(EDITABLE)
    if unknown:
        raise Invalid.field(min(unknown), f"{min(unknown)!r} cannot be set; these can: {', '.join(EDITABLE)}.")
    checked = dict(fields)
    if "tags" in checked:
        tags = sorted({str(tag).strip() for tag in checked["tags"] if str(tag).strip()})
        if len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG or '"' in tag for tag in tags):
            raise Invalid.field("tags", f"At most {MAX_TAGS} tags of at most {MAX_TAG} characters, without quotes.")
        checked["tags"] = tags
    if len(checked.get("description", "")) > MAX_DESCRIPTION:
        raise Invalid.field("description", f"A description has at most {MAX_DESCRIPTION} characters.")
    if len(checked.get("owner", "")) > 100:
        raise Invalid.field("owner", "An owner's name has at most 100 characters.")
    latency = checked.get("slo_latency_p95_s")
    if latency is not None and not 0 < latency <= 3600:
        raise Invalid.field("slo_latency_p95_s", "The latency target is a time above 0 and up to 3600 s.")
    errors = checked.get("slo_error_percent")
    if errors is not None and not 0 <= errors <= 100:
        raise Invalid.field("slo_error_percent", "The error target is a percentage between 0 and 100.")
    return checked
