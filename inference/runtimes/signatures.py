"""What every runtime's inspection does with the tensors that it found."""

import msgspec

from inference.errors import UnsupportedFormat
from inference.spec import Signature, Stage, StageKind, TensorSpec


def check_batch_axis(signature: Signature) -> None:
    """Refuse tensors whose first axis is not a batch of any size: requests of many callers are run together."""
    for spec in (*signature.inputs, *signature.outputs):
        if not spec.shape or spec.shape[0] != -1:
            raise UnsupportedFormat(
                f"Tensor {spec.name!r} has the shape {list(spec.shape)}; its first axis must be a batch of any size "
                "(-1). Export the model with a dynamic first axis."
            )
    names = [spec.name for spec in (*signature.inputs, *signature.outputs)]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UnsupportedFormat(f"{', '.join(sorted(repeated))} names two tensors. Give inputs and outputs own names.")


def is_ragged(spec: TensorSpec) -> TensorSpec:
    """Integer inputs whose one other axis varies hold token sequences: rows of a batch are padded to the longest."""
    if len(spec.shape) == 2 and spec.shape[1] == -1 and spec.datatype in ("INT32", "INT64"):
        return msgspec.structs.replace(spec, ragged_axes=(1,))
    return spec


def infer_stage(signature: Signature) -> Stage:
    return Stage(name="infer", kind=StageKind.INFER, signature=signature)
