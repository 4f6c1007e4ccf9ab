"""What every runtime's inspection does with the tensors that it found."""

import msgspec

from inference.errors import UnsupportedFormat
from inference.spec import Signature, Stage, StageKind


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


def mark_ragged(signature: Signature) -> Signature:
    """Integer inputs whose one other axis varies hold token sequences: rows of a batch are padded to the longest.

    Outputs with a varying second axis then have a vector a token, and are padded alike.
    """
    inputs = tuple(
        msgspec.structs.replace(spec, ragged_axes=(1,))
        if spec.shape == (-1, -1) and spec.datatype in ("INT32", "INT64")
        else spec
        for spec in signature.inputs
    )
    if inputs == signature.inputs:
        return signature
    outputs = tuple(
        msgspec.structs.replace(spec, ragged_axes=(1,)) if spec.shape[1:2] == (-1,) else spec
        for spec in signature.outputs
    )
    return Signature(inputs=inputs, outputs=outputs)


def infer_stage(signature: Signature) -> Stage:
    return Stage(name="infer", kind=StageKind.INFER, signature=signature)
