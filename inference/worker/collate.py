"""Tensors of many requests to one array a name, and back: along axis 0, ragged axes padded to the longest."""

from collections.abc import Callable, Sequence

import numpy as np

from inference.errors import BadInput, ModelFailed
from inference.protocol.messages import Tensor
from inference.protocol.tensors import NUMPY_KIND, check_size, pack_bytes, to_numpy
from inference.spec import TensorSpec

Arrays = dict[str, np.ndarray]
Empty = Callable[[str, tuple[int, ...], np.dtype], np.ndarray]  # (name, shape, dtype) → memory to collate into

FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})


def read_item(tensors: Sequence[Tensor], rows: int, specs: Sequence[TensorSpec]) -> Arrays:
    """The arrays of one request, held against the signature. Raises BadInput."""
    given = {tensor.name: tensor for tensor in tensors}
    if len(given) != len(specs) or len(tensors) != len(specs) or any(spec.name not in given for spec in specs):
        wanted = ", ".join(spec.name for spec in specs)
        raise BadInput(f"Inputs are {', '.join(given) or 'none'}; each of {wanted} is needed, once, and no other.")
    return {spec.name: read_tensor(given[spec.name], rows, spec) for spec in specs}


def read_tensor(tensor: Tensor, rows: int, spec: TensorSpec) -> np.ndarray:
    if tensor.datatype != spec.datatype:
        raise BadInput(f"Input {spec.name!r} is {tensor.datatype}; the model takes {spec.datatype}.")
    if not shape_fits(tensor.shape, spec.shape) or tensor.shape[:1] != (rows,):
        wanted = [rows, *spec.shape[1:]]
        raise BadInput(f"Input {spec.name!r} has shape {list(tensor.shape)}; {wanted} is needed (-1: any size).")
    check_size(tensor)
    values = to_numpy(tensor)
    if spec.finite and not finite_rows(values, spec.datatype).all():
        raise BadInput(f"Input {spec.name!r} holds NaN or infinity, which this model refuses.")
    return values


def shape_fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    if len(shape) != len(wanted):
        return False
    # A plain loop is faster than all(): this runs for every tensor of every item.
    for size, expected in zip(shape, wanted, strict=True):  # noqa: SIM110
        if size < 0 or expected not in (-1, size):
            return False
    return True


def finite_rows(values: np.ndarray, datatype: str) -> np.ndarray:
    """For each row, whether all its values are finite."""
    if datatype not in FLOATS:
        return np.ones(len(values), dtype=bool)
    # BF16 are raw bits here: an exponent of all ones is NaN or infinity.
    finite = (values & 0x7F80) != 0x7F80 if datatype == "BF16" else np.isfinite(values)
    return finite.reshape(len(values), -1).all(axis=1)


def free_axes(specs: Sequence[TensorSpec]) -> list[tuple[str, int]]:
    """(name, axis) of every axis in which items may differ, and then cannot be collated."""
    return [
        (spec.name, axis)
        for spec in specs
        for axis, size in enumerate(spec.shape)
        if axis and size < 0 and axis not in spec.ragged_axes
    ]


def form_of(arrays: Arrays, axes: Sequence[tuple[str, int]]) -> tuple[int, ...]:
    """Items of equal form can share a batch: they differ at most in rows and along ragged axes."""
    return tuple([arrays[name].shape[axis] for name, axis in axes])


def new_array(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:  # noqa: ARG001  an Empty
    return np.empty(shape, dtype)


def collate(
    items: Sequence[Arrays], specs: Sequence[TensorSpec], empty: Empty = new_array, keep: bool = True
) -> Arrays:
    """One writable array a name; items must be of one form. `keep`: a lone item may stay in the frame's memory."""
    return {spec.name: collate_one([item[spec.name] for item in items], spec, empty, keep) for spec in specs}


def collate_one(parts: list[np.ndarray], spec: TensorSpec, empty: Empty, keep: bool = True) -> np.ndarray:
    first = parts[0]
    # Memory that the frame owns alone is as good as ours; a view of what the socket read is not to be written to.
    if len(parts) == 1 and keep and first.flags.writeable and empty is new_array:
        return first
    if len(parts) == 1 and first.dtype != object:
        return fill(empty(spec.name, first.shape, first.dtype), first)
    rows = sum(len(part) for part in parts)
    shape = (rows, *(max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)))
    out = empty(spec.name, shape, first.dtype) if first.dtype != object else np.empty(shape, object)
    if all(part.shape[1:] == shape[1:] for part in parts):
        return np.concatenate(parts, out=out) if len(parts) > 1 else fill(out, first)
    out[...] = padding(spec)
    start = 0
    for part in parts:
        out[(slice(start, start + len(part)), *(slice(0, size) for size in part.shape[1:]))] = part
        start += len(part)
    return out


def fill(out: np.ndarray, values: np.ndarray) -> np.ndarray:
    np.copyto(out, values)
    return out


def padding(spec: TensorSpec) -> object:
    if spec.datatype == "BYTES":
        return b""
    if spec.datatype == "BF16":
        return np.float32(spec.pad_value).view(np.uint32) >> 16
    return spec.pad_value


def own_lengths(items: Sequence[Arrays], specs: Sequence[TensorSpec]) -> dict[int, list[int]]:
    """Padded length → each item's own: of an output with a ragged axis that long, each gets its own part back."""
    lengths: dict[int, list[int]] = {}
    for spec in specs:
        for axis in spec.ragged_axes:
            own = [item[spec.name].shape[axis] for item in items]
            longest = max(own)
            if min(own) < longest:
                lengths[longest] = [max(pair) for pair in zip(own, lengths.get(longest, own), strict=True)]
    return lengths


def check_outputs(outputs: Arrays, rows: int, specs: Sequence[TensorSpec]) -> Arrays:
    """What the model gave, in the signature's order and memory layout. Raises ModelFailed where it broke its word."""
    checked = {}
    for spec in specs:
        values = outputs.get(spec.name)
        if values is None:
            raise ModelFailed(f"The model gave no output {spec.name!r}, which its signature names.")
        if not shape_fits(values.shape, spec.shape) or len(values) != rows:
            wanted = [rows, *spec.shape[1:]]
            raise ModelFailed(
                f"Output {spec.name!r} came with shape {list(values.shape)}; {wanted} is in the signature."
            )
        if spec.datatype != "BYTES":
            if values.dtype != NUMPY_KIND[spec.datatype]:
                raise ModelFailed(f"Output {spec.name!r} came as {values.dtype}; its signature says {spec.datatype}.")
            values = np.ascontiguousarray(values)
        checked[spec.name] = values
    return checked


def own_memory(outputs: Arrays, arrays: Arrays) -> Arrays:
    """Copies of outputs that are views of the memory we collated into: the next group is written there."""
    return {
        name: values.copy() if any(np.may_share_memory(values, array) for array in arrays.values()) else values
        for name, values in outputs.items()
    }


def split(
    outputs: Arrays, rows: Sequence[int], specs: Sequence[TensorSpec], own: dict[int, list[int]]
) -> list[list[Tensor]]:
    """Each item's share of the outputs, as views where memory allows."""
    shares: list[list[Tensor]] = [[] for _ in rows]
    for spec in specs:
        values, start = outputs[spec.name], 0
        trims = [(axis, own[values.shape[axis]]) for axis in spec.ragged_axes if values.shape[axis] in own]
        for index, count in enumerate(rows):
            part = values[start : start + count]
            for axis, lengths in trims:
                part = part[(slice(None),) * axis + (slice(0, lengths[index]),)]
            shares[index].append(to_tensor(part, spec))
            start += count
    return shares


def to_tensor(values: np.ndarray, spec: TensorSpec) -> Tensor:
    if spec.datatype == "BYTES":
        elements = values.ravel().tolist()
        data = pack_bytes(element if isinstance(element, bytes) else str(element).encode() for element in elements)
        return Tensor(spec.name, "BYTES", values.shape, data)
    return Tensor(spec.name, spec.datatype, values.shape, np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
