"""What may be cached of a model's answers."""

from typing import Any

from django.db import IntegrityError, transaction

from console.accounts.services import record
from console.lib.actors import Actor
from console.lib.errors import Invalid, StaleWrite
from console.registry.models import Model
from console.registry.services.writes import advance, mark_spec
from console.serving.models import CachePolicy

EDITABLE = ("enabled", "strategy", "max_bytes", "max_entries", "ttl_s")
STRATEGIES = ("adaptive",)
MAX_BYTES = 64 * 1024**3
MAX_ENTRIES = 10_000_000
MAX_TTL_S = 7 * 86_400.0


@transaction.atomic
def set_cache_policy(*, model: Model, changes: dict[str, Any], seen: int, actor: Actor) -> CachePolicy:
    check_policy(changes)
    policy = CachePolicy.objects.select_for_update().filter(model=model).first()
    if policy is None and seen == 0:
        try:
            with transaction.atomic():
                policy = CachePolicy.objects.create(model=model, row_version=0)
        except IntegrityError:
            policy = None
    if policy is None:
        raise StaleWrite(f"The cache policy of {model.name!r} was set meanwhile; reload to see what it is now.")
    before = {name: getattr(policy, name) for name in changes}
    advance(policy, seen, updated_by=actor.actor_name, **changes)
    record(actor, "cache_policy.set", model, before=before, after=changes)
    mark_spec(model)
    return policy


def check_policy(changes: dict[str, Any]) -> None:
    if unknown := set(changes) - set(EDITABLE):
        raise Invalid.field(min(unknown), f"{min(unknown)!r} cannot be set; these can: {', '.join(EDITABLE)}.")
    if changes.get("strategy", "adaptive") not in STRATEGIES:
        raise Invalid.field("strategy", f"The strategies are: {', '.join(STRATEGIES)}.")
    for name, low, high in (("max_bytes", 0, MAX_BYTES), ("max_entries", 0, MAX_ENTRIES), ("ttl_s", 0.001, MAX_TTL_S)):
        if name in changes and not low <= changes[name] <= high:
            raise Invalid.field(name, f"{name} lies between {low} and {high}.", "out_of_range")
