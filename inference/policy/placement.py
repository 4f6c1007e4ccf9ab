"""Where a replica goes: which device, and how many threads."""

from collections.abc import Iterable

from inference.spec import DeviceKind, PoolSpec, StageKind, Unit, Version


def choose_device(unit: Unit, pool: PoolSpec, taken: Iterable[str]) -> str | None:
    """The least taken device that the unit may run on, in the pool's order; None when the pool has none.

    A unit that may run anywhere prefers a GPU where the pool has one.
    """
    gpus = [device for device in pool.devices if device.startswith("cuda")]
    allowed = {
        DeviceKind.CPU: [device for device in pool.devices if device == "cpu"],
        DeviceKind.CUDA: gpus,
        DeviceKind.ANY: gpus or list(pool.devices),
    }[unit.device]
    counts = list(taken)
    return min(allowed, key=counts.count, default=None)


def choose_threads(version: Version, unit: Unit, device: str, cores: int, cpu_replicas: int) -> int:
    """What the unit says; else the cores shared fairly among the `cpu_replicas` that compute on them.

    A unit that only prepares or finishes, and one whose model runs on a GPU, needs one.
    """
    if unit.threads:
        return unit.threads
    if device != "cpu" or not computes(version, unit):
        return 1
    return max(1, cores // max(1, cpu_replicas))


def computes(version: Version, unit: Unit) -> bool:
    return any(stage.kind is StageKind.INFER and stage.name in unit.stages for stage in version.stages)
