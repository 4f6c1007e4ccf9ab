"""What the documents want of a pool, in the order of its importance, and how much of that fits."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from inference.policy.hints import in_force as hints_in_force
from inference.policy.placement import choose_device
from inference.spec import Hint, ModelSpec, PoolSpec, Unit, Version
from inference.status import Effective

Group = tuple[str, int, str, str]  # model, version, digest, unit
NO_HINTS: Mapping[str, Hint] = {}


class Wanted(Struct, frozen=True):
    """One unit of a live version. `serving`: it has traffic, or shall have."""

    model: str
    version: Version
    unit: Unit
    replicas: int
    serving: bool

    @property
    def group(self) -> Group:
        return self.model, self.version.number, self.version.digest, self.unit.name


class Shortage(Struct, frozen=True):
    """Something wanted that cannot be had here, and why."""

    model: str
    version: int
    unit: str
    reason: str


def list_wanted(
    models: Iterable[ModelSpec], effective: Mapping[str, Effective], pool: str, hints: Mapping[str, Hint] = NO_HINTS
) -> list[Wanted]:
    """All units of all live versions of the pool, in the order in which they are to start."""
    wanted = []
    for model in models:
        if model.pool != pool or model.deleted:
            continue
        hint = hints_in_force(model, hints.get(model.name))
        in_force = effective[model.name].weights if model.name in effective else ()
        weighted = {weight.version for weight in (*model.traffic.weights, *in_force) if weight.percent > 0}
        for version in model.versions:
            serving = version.number in weighted and (hint is None or hint.loaded)
            for unit in version.units:
                least = max(unit.scale.min_replicas, 1 if serving or hint is not None else 0)
                if hint is not None and not hint.loaded:
                    least = 0
                replicas = min(least, unit.scale.max_replicas)
                wanted.append(Wanted(model.name, version, unit, replicas, serving))
    wanted.sort(key=lambda one: (not one.serving, len(one.version.units), one.model, -one.version.number))
    return wanted


def list_in_force(effective: Iterable[Effective], unloaded: Collection[str] = ()) -> set[tuple[str, int]]:
    """Versions that clients may be sent to. Those of a model that an operator unloaded are not."""
    return {
        (one.name, weight.version)
        for one in effective
        if one.name not in unloaded
        for weight in one.weights
        if weight.percent > 0
    }


def fit(wanted: Sequence[Wanted], pool: PoolSpec) -> tuple[dict[Group, int], list[Shortage]]:
    """How many replicas of each unit the pool has room for. First one of each unit of a version, or none of that
    version: a part of a chain answers nothing. Then the further replicas."""
    targets = {one.group: 0 for one in wanted}
    shortages: list[Shortage] = []
    room = pool.max_workers
    chains: dict[tuple[str, int], list[Wanted]] = {}
    for one in wanted:
        chains.setdefault((one.model, one.version.number), []).append(one)
    for (model, version), units in chains.items():
        needed = [one for one in units if one.replicas > 0]
        stuck = next((one for one in needed if choose_device(one.unit, pool, ()) is None), None)
        if stuck is not None:
            reason = f"It needs a {stuck.unit.device.value} device; pool {pool.name!r} has {', '.join(pool.devices)}."
            shortages.append(Shortage(model, version, stuck.unit.name, reason))
        elif len(needed) > room:
            reason = (
                f"No room: it needs {len(needed)} workers; of the {pool.max_workers} of pool {pool.name!r}, "
                f"{room} are free. Raise max_workers or unload a version."
            )
            shortages.append(Shortage(model, version, needed[0].unit.name, reason))
        else:
            room -= len(needed)
            targets.update((one.group, 1) for one in needed)
    for one in wanted:
        if targets[one.group] and one.replicas > 1:
            more = min(one.replicas - 1, room)
            room -= more
            targets[one.group] += more
            if more < one.replicas - 1:
                reason = f"Room for {1 + more} of {one.replicas} replicas. Raise max_workers or unload a version."
                shortages.append(Shortage(one.model, one.version.number, one.unit.name, reason))
    return targets, shortages
