"""Hold a request against the signature of the version that will answer it."""

from collections.abc import Iterable

import numpy as np

from inference.errors import BadInput
from inference.protocol.messages import Tensor, WantedOutput
from inference.protocol.tensors import to_numpy
from inference.spec import Signature, TensorSpec

FLOATS = frozenset({"FP16", "FP32", "FP64"})
MAX_AXIS = 2**31 - 1  # beyond, only an empty tensor fits in memory, and no frame carries the number
BF16_EXPONENT = 0x7F80  # all ones: infinity or NaN


def check_inputs(tensors: list[Tensor], signature: Signature) -> int:
    """Rows of the request (its share of axis 0). Raises BadInput with the first thing that does not fit."""
    declared = signature.inputs
    if len(tensors) != len(declared):
        raise BadInput(count_fault(tensors, declared))
    rows = -1
    for place, spec in enumerate(declared):
        tensor = tensors[place]
        if tensor.name != spec.name:  # any order is right; ours is the signature's
            tensor = take(tensors, place, spec, declared)
        if tensor.datatype != spec.datatype:
            raise BadInput(f"Input {spec.name!r} has datatype {tensor.datatype}; the model takes {spec.datatype}.")
        shape = tensor.shape
        if not fits(shape, spec.shape):
            raise BadInput(
                f"Input {spec.name!r} has shape {list(shape)}; the model takes {list(spec.shape)} "
                f"(-1 is any size up to {MAX_AXIS})."
            )
        if rows < 0:
            rows = shape[0]
            if rows == 0:
                raise BadInput(f"Input {spec.name!r} has no rows; send at least one.")
        elif shape[0] != rows:
            raise BadInput(
                f"Input {spec.name!r} has {shape[0]} rows and {declared[0].name!r} has {rows}; "
                "all inputs share their first axis."
            )
        if spec.finite:
            check_finite(tensor)
    return max(rows, 1)


def fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    if len(shape) != len(declared):
        return False
    for size, wanted in zip(shape, declared, strict=True):
        if size != wanted and (wanted != -1 or not 0 <= size <= MAX_AXIS):
            return False
    return True


def take(tensors: list[Tensor], place: int, spec: TensorSpec, declared: tuple[TensorSpec, ...]) -> Tensor:
    """Bring the tensor called `spec.name` to `place`."""
    for other in range(place + 1, len(tensors)):
        if tensors[other].name == spec.name:
            tensors[place], tensors[other] = tensors[other], tensors[place]
            return tensors[place]
    raise BadInput(count_fault(tensors, declared))


def count_fault(tensors: list[Tensor], declared: tuple[TensorSpec, ...]) -> str:
    given = [tensor.name for tensor in tensors]
    wanted = [spec.name for spec in declared]
    repeated = sorted({name for name in given if given.count(name) > 1})
    missing = [name for name in wanted if name not in given]
    strange = [name for name in given if name not in wanted]
    parts = [f"twice: {quoted(repeated)}"] * bool(repeated)
    parts += [f"missing: {quoted(missing)}"] * bool(missing)
    parts += [f"unknown: {quoted(strange)}"] * bool(strange)
    return (
        f"The model takes the inputs {quoted(wanted)}; the request has {quoted(given) or 'none'} ({'; '.join(parts)})."
    )


def quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name[:80]) for name in names)


def check_finite(tensor: Tensor) -> None:
    if tensor.datatype in FLOATS:
        finite = bool(np.isfinite(to_numpy(tensor)).all())
    elif tensor.datatype == "BF16":
        finite = not bool(((to_numpy(tensor) & BF16_EXPONENT) == BF16_EXPONENT).any())
    else:
        return
    if not finite:
        raise BadInput(f"Input {tensor.name!r} holds NaN or infinity; the model takes finite numbers only.")


def check_outputs(wanted: list[WantedOutput], signature: Signature) -> None:
    """Raise BadInput where an output is asked for that the model does not give."""
    known = {spec.name for spec in signature.outputs}
    for output in wanted:
        if output.name not in known:
            raise BadInput(f"The model has no output {output.name[:80]!r}; it gives {quoted(sorted(known))}.")
