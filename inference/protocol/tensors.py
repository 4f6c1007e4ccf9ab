"""Datatypes of the Open Inference Protocol: sizes, numpy kinds, and the wire form of BYTES."""

import struct
from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from inference.errors import BadInput
from inference.protocol.messages import Tensor

ITEM_BYTES = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8,
}  # fmt: skip
# numpy has no bfloat16: BF16 travels as its 16 raw bits; the worker gives them to torch as they are.
NUMPY_KIND = {
    "BOOL": np.dtype("?"), "UINT8": np.dtype("u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"), "INT8": np.dtype("i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"), "FP16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}  # fmt: skip
DATATYPES = frozenset(ITEM_BYTES) | {"BYTES"}
LENGTH = struct.Struct("<I")


def element_count(shape: Sequence[int]) -> int:
    return prod(shape)


def check_size(tensor: Tensor) -> None:
    """Raise BadInput unless the data is exactly what datatype and shape call for (BYTES: well-formed, right count)."""
    expected = element_count(tensor.shape)
    if tensor.datatype == "BYTES":
        found = count_bytes_elements(tensor.data)
        if found != expected:
            raise BadInput(
                f"Input {tensor.name!r} holds {found} BYTES elements; its shape {list(tensor.shape)} needs {expected}."
            )
        return
    item = ITEM_BYTES.get(tensor.datatype)
    if item is None:
        known = ", ".join(sorted(DATATYPES))
        raise BadInput(f"Tensor {tensor.name!r} has the unknown datatype {tensor.datatype!r}. Known are {known}.")
    if len(tensor.data) != expected * item:
        raise BadInput(
            f"Tensor {tensor.name!r} holds {len(tensor.data)} bytes; {tensor.datatype} "
            f"{list(tensor.shape)} needs {expected * item}."
        )


def count_bytes_elements(data: bytes | memoryview) -> int:
    """Number of length-prefixed elements; raises BadInput where a length runs past the end."""
    offset, end, count = 0, len(data), 0
    while offset < end:
        if offset + 4 > end:
            raise BadInput("A BYTES tensor ends inside a length. Each element is a u32 length and its bytes.")
        offset += 4 + LENGTH.unpack_from(data, offset)[0]
        count += 1
    if offset != end:
        raise BadInput("A BYTES tensor ends inside an element. Each element is a u32 length and its bytes.")
    return count


def pack_bytes(elements: Iterable[bytes]) -> bytes:
    return b"".join(part for element in elements for part in (LENGTH.pack(len(element)), element))


def unpack_bytes(data: bytes | memoryview) -> list[bytes]:
    elements, offset, end = [], 0, len(data)
    while offset < end:
        size = LENGTH.unpack_from(data, offset)[0]
        offset += 4
        elements.append(bytes(data[offset : offset + size]))
        offset += size
    return elements


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A read-only view of the data in its shape; BYTES becomes an object array of `bytes`."""
    if tensor.datatype == "BYTES":
        values = np.empty(element_count(tensor.shape), dtype=object)
        values[:] = unpack_bytes(tensor.data)
        return values.reshape(tensor.shape)
    return np.frombuffer(tensor.data, dtype=NUMPY_KIND[tensor.datatype]).reshape(tensor.shape)


def to_numbers(tensor: Tensor) -> np.ndarray:
    """Like `to_numpy`, but BF16 as the numbers that its bits stand for, which are the upper half of a float32."""
    values = to_numpy(tensor)
    return (values.astype("<u4") << 16).view("<f4") if tensor.datatype == "BF16" else values


def from_numpy(name: str, datatype: str, values: np.ndarray) -> Tensor:
    """The tensor of an array whose dtype already is the datatype's (object or bytes arrays for BYTES)."""
    if datatype == "BYTES":
        data = pack_bytes(v if isinstance(v, bytes) else str(v).encode() for v in values.ravel().tolist())
    else:
        data = np.ascontiguousarray(values, dtype=NUMPY_KIND[datatype]).tobytes()
    return Tensor(name, datatype, tuple(values.shape), data)
