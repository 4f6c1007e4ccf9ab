"""Versions without files, for decisions that never load one."""

from inference.spec import (
    Artifact,
    DeviceKind,
    Format,
    ModelSpec,
    PoolSpec,
    ScalePolicy,
    Signature,
    Stage,
    StageKind,
    TensorSpec,
    Traffic,
    Unit,
    Version,
    Weight,
)

X = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
SIGNATURE = Signature(inputs=(X,), outputs=(X,))
KINDS = (StageKind.PREPROCESS, StageKind.INFER, StageKind.POSTPROCESS)


def make_version(
    number: int, units: int = 1, replicas: int = 1, device: DeviceKind = DeviceKind.ANY, threads: int = 0
) -> Version:
    """One infer unit, or a chain of up to three."""
    kinds = (StageKind.INFER,) if units == 1 else KINDS[:units]
    stages = tuple(Stage(name=f"s{place}", kind=kind, signature=SIGNATURE) for place, kind in enumerate(kinds))
    scale = ScalePolicy(min_replicas=replicas, max_replicas=max(replicas, 1))
    return Version(
        number=number,
        digest=f"{number:064x}",
        format=Format.ONNX,
        artifact=Artifact(digest="0" * 64, files=(), store="file:///none"),
        signature=SIGNATURE,
        stages=stages,
        units=tuple(
            Unit(name=f"u{place}", stages=(stage.name,), device=device, scale=scale, threads=threads)
            for place, stage in enumerate(stages)
        ),
    )


def make_model(name: str, *versions: Version, stable: int | None = 1, generation: int = 1, **fields) -> ModelSpec:
    weights = (Weight(version=stable, percent=100),) if stable is not None else ()
    return ModelSpec(
        name=name, epoch="e", generation=generation, versions=versions, traffic=Traffic(weights=weights), **fields
    )


def make_pool(max_workers: int = 8, devices: tuple[str, ...] = ("cpu",), generation: int = 1) -> PoolSpec:
    return PoolSpec(
        name="default", epoch="e", generation=generation, devices=devices, max_workers=max_workers, spares=0
    )
