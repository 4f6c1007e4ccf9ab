"""Tensors cut along axis 0 and joined again: a request with more rows than a batch holds goes to the model in parts."""

from collections.abc import Sequence

import numpy as np

from inference.errors import ModelFailed
from inference.protocol.messages import Tensor
from inference.protocol.tensors import LENGTH, element_count


def cut(tensor: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Parts of `sizes` rows each, which add up to the tensor's. The parts are views of its data."""
    view = memoryview(tensor.data)
    rest = tensor.shape[1:]
    parts, start = [], 0
    if tensor.datatype == "BYTES":
        ends = bytes_ends(view, element_count(rest), sizes)
    else:
        row_bytes = len(view) // tensor.shape[0]
        ends = [row_bytes * upto for upto in np.cumsum(sizes).tolist()]
    for rows, end in zip(sizes, ends, strict=True):
        parts.append(Tensor(tensor.name, tensor.datatype, (rows, *rest), view[start:end]))
        start = end
    return parts


def bytes_ends(view: memoryview, per_row: int, sizes: Sequence[int]) -> list[int]:
    """Where each part of a BYTES tensor ends: its elements are as long as they are."""
    ends, offset = [], 0
    for rows in sizes:
        for _ in range(rows * per_row):
            offset += 4 + LENGTH.unpack_from(view, offset)[0]
        ends.append(offset)
    return ends


def join(parts: Sequence[Tensor]) -> Tensor:
    """One tensor of all rows, in order. Raises ModelFailed where the parts differ in more than rows."""
    first = parts[0]
    rest = first.shape[1:]
    if any(part.shape[1:] != rest for part in parts):
        shapes = ", ".join(str(list(shape)) for shape in sorted({part.shape[1:] for part in parts}))
        raise ModelFailed(
            f"Output {first.name!r} has rows of different shapes ({shapes}) in the parts that this request was cut "
            "into; send fewer rows at once."
        )
    rows = sum(part.shape[0] for part in parts)
    return Tensor(first.name, first.datatype, (rows, *rest), b"".join(part.data for part in parts))
