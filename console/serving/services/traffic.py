"""Who gets the traffic. One compare-and-set on the model's traffic row, with its audit row and its mark."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from console.accounts.services import record
from console.lib.actors import Actor
from console.lib.errors import Fault, Invalid, StaleWrite
from console.registry import selectors as registry
from console.registry.choices import STABLE
from console.registry.models import Model, Version
from console.registry.services.aliases import place_alias
from console.registry.services.writes import advance, check_assignable, mark_spec
from console.serving.choices import Assignment
from console.serving.models import Traffic, TrafficWeight
from console.serving.services.handover import begin_handover

MAX_VERSIONS = 8
SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class TrafficChange:
    """What was done, and what undoes it: the same call with `before` and the row version that it left."""

    before: dict[int, float]  # version number → percent
    after: dict[int, float]
    row_version: int
    stable_before: int | None
    stable_after: int | None

    @property
    def moved_percent(self) -> float:
        """How much of the traffic goes to another version than before."""
        numbers = self.before.keys() | self.after.keys()
        return sum(max(0.0, self.after.get(number, 0.0) - self.before.get(number, 0.0)) for number in numbers)


@transaction.atomic
def set_traffic(
    *,
    model: Model,
    weights: Mapping[int, float],
    seen: int,
    actor: Actor,
    assignment: str | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> TrafficChange:
    """Split the traffic over versions by number; percentages sum to 100, or there are none and nothing is served."""
    versions = check_weights(model, weights)
    if assignment is not None and assignment not in Assignment.values:
        raise Invalid.field("assignment", f"{assignment!r} is not one of {', '.join(Assignment.values)}.")
    held = lock_traffic(model, seen)
    before = weights_of(held)
    stable = registry.stable_version(model)
    number = stable.number if stable else None
    after = {version.number: percent for version, percent in versions.items()}
    if dry_run:
        return TrafficChange(before, after, held.row_version, number, number)
    replace_weights(held, versions, seen, actor, assignment or held.assignment)
    record(actor, "traffic.set", model, before=audit_weights(before), after=audit_weights(after), reason=reason)
    mark_spec(model)
    return TrafficChange(before, after, held.row_version, number, number)


@transaction.atomic
def set_stable_version(
    *, model: Model, to: Version, seen: int, actor: Actor, reason: str = "", dry_run: bool = False
) -> TrafficChange:
    """Give `to` all of the traffic and the alias `stable`. The workers' old weights hold until `to` is loaded."""
    check_assignable(model, to)
    held = lock_traffic(model, seen)
    before = weights_of(held)
    stable = registry.stable_version(model)
    after = {to.number: 100.0}
    stable_before = stable.number if stable else None
    if dry_run:
        return TrafficChange(before, after, held.row_version, stable_before, to.number)
    replace_weights(held, {to: 100.0}, seen, actor, held.assignment)
    place_alias(model=model, name=STABLE, to=to, seen=None, actor=actor)
    record(
        actor,
        "traffic.set_stable",
        model,
        before={**audit_weights(before), STABLE: stable_before},
        after={**audit_weights(after), STABLE: to.number},
        reason=reason,
    )
    mark_spec(model)
    return TrafficChange(before, after, held.row_version, stable_before, to.number)


def check_weights(model: Model, weights: Mapping[int, float]) -> dict[Version, float]:
    if len(weights) > MAX_VERSIONS:
        raise Invalid.field("weights", f"Traffic is split over at most {MAX_VERSIONS} versions.")
    faults, versions = [], {}
    for place, (number, percent) in enumerate(weights.items()):
        if not math.isfinite(percent) or not 0 <= percent <= 100:
            faults.append(Fault(f"/weights/{place}/percent", "out_of_range", "A weight lies between 0 and 100 %."))
        elif percent > 0:
            version = registry.get_version(model, number)
            check_assignable(model, version)
            versions[version] = float(percent)
    if faults:
        raise Invalid("Some weights cannot be right.", tuple(faults))
    total = sum(versions.values())
    if versions and abs(total - 100) > SUM_TOLERANCE:
        raise Invalid.field("weights", f"The weights sum to {total:g}, not to 100.", "sum")
    return versions


def lock_traffic(model: Model, seen: int) -> Traffic:
    """The row as it was seen; made here where nobody ever set traffic (`seen` 0). Raises StaleWrite."""
    held = Traffic.objects.select_for_update().filter(model=model).first()
    if held is None and seen == 0:
        try:
            with transaction.atomic():
                held = Traffic.objects.create(model=model, row_version=0)
        except IntegrityError:
            held = None
    if held is None or held.row_version != seen:
        raise StaleWrite(f"The traffic of {model.name!r} was changed meanwhile; reload to see how it is split now.")
    return held


def replace_weights(held: Traffic, versions: dict[Version, float], seen: int, actor: Actor, assignment: str) -> None:
    advance(held, seen, updated_by=actor.actor_name, assignment=assignment)
    begin_handover(held, versions)
    held.weights.all().delete()
    TrafficWeight.objects.bulk_create(
        TrafficWeight(traffic=held, version=version, percent=percent) for version, percent in versions.items()
    )


def weights_of(held: Traffic) -> dict[int, float]:
    return {weight.version.number: weight.percent for weight in held.weights.select_related("version")}


def audit_weights(weights: dict[int, float]) -> dict[str, Any]:
    return {"weights": {f"v{number}": percent for number, percent in sorted(weights.items())}}
