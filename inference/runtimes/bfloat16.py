"""BF16 in numpy, which has no such type: its 16 raw bits, the upper half of a float32."""

import numpy as np

from inference.protocol.tensors import NUMPY_KIND


def as_numpy(values: np.ndarray, datatype: str) -> np.ndarray:
    """With the datatype's own kind; a BF16 output that a processor calculated becomes its 16 raw bits."""
    if datatype == "BYTES":
        return values
    if datatype == "BF16" and values.dtype.kind == "f":
        return narrow_bfloat16(values)
    return np.ascontiguousarray(values, dtype=NUMPY_KIND[datatype])


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The float32 values of raw bfloat16 bits: the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow_bfloat16(values: np.ndarray) -> np.ndarray:
    """Raw bfloat16 bits of float values, rounded to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(NUMPY_KIND["BF16"])
