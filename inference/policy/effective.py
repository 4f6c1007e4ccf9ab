"""Which weights are in force: the wanted ones, as soon as all they name is ready."""

from collections.abc import Collection, Iterable

from inference.policy.replicas import Replica
from inference.spec import ModelSpec, Weight
from inference.status import Effective, ReplicaState


def list_ready(model: ModelSpec, replicas: Iterable[Replica]) -> set[int]:
    """The versions of which each unit has a replica that takes work."""
    ready = {
        one.group
        for one in replicas
        if one.state is ReplicaState.READY and one.draining_at_s is None and not one.stopping
    }
    return {
        version.number
        for version in model.versions
        if all((model.name, version.number, version.digest, unit.name) in ready for unit in version.units)
    }


def choose_weights(model: ModelSpec, current: Effective | None, ready: Collection[int]) -> tuple[Weight, ...]:
    """Move to the wanted weights only when each version they name can answer; until then the old ones stay in force.

    Where nothing is in force yet the wanted ones are: "not ready" is a truer answer than "not found".
    """
    if model.deleted:
        return ()
    wanted = tuple(weight for weight in model.traffic.weights if weight.percent > 0)
    if not wanted or all(weight.version in ready for weight in wanted):
        return wanted
    return current.weights if current is not None and current.weights else wanted


def decide_effective(model: ModelSpec, current: Effective | None, ready: Collection[int], fence: int) -> Effective:
    """The document to be in force: `current` itself where nothing changes."""
    weights = choose_weights(model, current, ready)
    fresh = Effective(
        name=model.name,
        epoch=model.epoch,
        generation=model.generation,
        fence=fence,
        revision=current.revision + 1 if current is not None and current.fence == fence else 1,
        weights=weights,
        salt=model.traffic.salt,
    )
    if current is not None and current.fence == fence and says_the_same(current, fresh):
        return current
    return fresh


def says_the_same(one: Effective, other: Effective) -> bool:
    return (one.epoch, one.generation, one.weights, one.salt) == (
        other.epoch, other.generation, other.weights, other.salt,
    )  # fmt: skip
