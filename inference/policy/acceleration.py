"""How a torch model is run faster: the `config` of a version's `infer` stage, and the sizes that its batches run at.

It stands in the stage, so it is part of the version's digest: bfloat16 answers are other answers. To try a setting is
to make a version with it and give that some traffic.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated

import msgspec
from msgspec import Meta

from inference.errors import BadDocument
from inference.spec import Document, Format, Signature, Stage, StageKind, Version

MAX_SHAPES = 128  # that are warmed up, compiled or captured before a replica is ready

Size = Annotated[int, Meta(ge=1, le=65_536)]


class Autocast(str, Enum):
    NONE = "none"
    BF16 = "bf16"
    FP16 = "fp16"


class Acceleration(Document, frozen=True):
    """All of it is torch's: a graph on onnxruntime is optimised when it is exported."""

    autocast: Autocast = Autocast.NONE  # matrix products and convolutions in that type, sums and norms in float32
    channels_last: bool = False  # memory order of images: what convolutions in half precision want
    compile: bool = False  # torch.compile
    cuda_graphs: bool = False  # one launch a batch instead of one a kernel; on a CPU the version runs without
    batch_sizes: tuple[Size, ...] = ()  # a batch is filled up to the next of these; empty: as it comes
    lengths: tuple[Size, ...] = ()  # the same for ragged axes, as the token axis of a text


def is_model(stage: Stage) -> bool:
    """The stage that the version's format runs, not a processor."""
    return stage.kind is StageKind.INFER and not stage.use


def read_acceleration(stage: Stage, format: Format, max_rows: int) -> Acceleration:
    """The stage's config, checked. Fixed shapes without `batch_sizes` get powers of two. Raises BadDocument."""
    try:
        asked = msgspec.convert(stage.config, Acceleration)
    except msgspec.ValidationError as error:
        raise BadDocument(f"The config of stage {stage.name!r} is not valid: {error}.") from error
    if format is Format.ONNX and asked != Acceleration():
        raise BadDocument(f"Stage {stage.name!r} is an ONNX graph, which takes no config. Leave it out.")
    if format is Format.TORCHSCRIPT and asked.compile:
        raise BadDocument(f"Stage {stage.name!r} is TorchScript, which torch.compile does not take. Use pt2.")
    for name, sizes in (("batch_sizes", asked.batch_sizes), ("lengths", asked.lengths)):
        if list(sizes) != sorted(set(sizes)):
            raise BadDocument(f"{name} of stage {stage.name!r} are {list(sizes)}; they must rise.")
    if asked.lengths and not any(spec.ragged_axes for spec in stage.signature.inputs):
        raise BadDocument(f"Stage {stage.name!r} has lengths but no input with a ragged axis. Leave them out.")
    if not asked.batch_sizes and (asked.cuda_graphs or asked.compile or asked.lengths):
        asked = msgspec.structs.replace(asked, batch_sizes=powers_of_two(max_rows))
    shapes = len(asked.batch_sizes) * max(len(asked.lengths), 1)
    if shapes > MAX_SHAPES:
        raise BadDocument(f"Stage {stage.name!r} would run at {shapes} shapes; at most {MAX_SHAPES} are made ready.")
    return asked


def check_acceleration(version: Version) -> None:
    """Raises BadDocument where a stage asks for what its format cannot do."""
    rows = {name: unit.batch.max_size for unit in version.units for name in unit.stages}
    for stage in version.stages:
        if is_model(stage):
            read_acceleration(stage, version.format, rows[stage.name])


def powers_of_two(largest: int) -> tuple[int, ...]:
    """1, 2, 4, … and `largest` itself: filling up wastes less than half of a batch."""
    sizes = [1 << power for power in range(largest.bit_length()) if 1 << power < largest]
    return (*sizes, largest)


def fill_up(size: int, sizes: Sequence[int]) -> int:
    """The smallest of `sizes` that holds `size`; `size` itself where none does."""
    return next((held for held in sizes if held >= size), size)


def has_fixed_shapes(signature: Signature, asked: Acceleration) -> bool:
    """Whether every batch that `batch_sizes` and `lengths` hold has one of finitely many shapes."""
    free = {axis for spec in signature.inputs for axis, size in enumerate(spec.shape) if axis and size < 0}
    ragged = {axis for spec in signature.inputs for axis in spec.ragged_axes}
    return bool(asked.batch_sizes) and (not free or (free <= ragged and bool(asked.lengths)))
