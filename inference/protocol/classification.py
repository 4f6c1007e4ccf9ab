"""The classification extension: of each row of an output the k highest values, as "value:index[:label]"."""

from collections.abc import Sequence

import numpy as np

from inference.errors import BadInput
from inference.protocol.messages import Tensor
from inference.protocol.tensors import element_count, pack_bytes, to_numbers


def classify(tensor: Tensor, k: int, labels: Sequence[str] = ()) -> Tensor:
    """BYTES [rows, k], best first; of equal values the lower index. With fewer classes than k, all of them."""
    if tensor.datatype in ("BYTES", "BOOL"):
        raise BadInput(
            f"Output {tensor.name!r} is {tensor.datatype}; classification needs numbers. Ask for it as it is."
        )
    rows = tensor.shape[0]
    values = to_numbers(tensor).reshape(rows, element_count(tensor.shape[1:]))
    # A stable sort of what is worse than what: NaN is worse than all, and stays so whatever its sign.
    order = np.argsort(rank(values), axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(values, order, axis=1)
    elements = (
        describe(value, index, labels)
        for values_of_row, indexes in zip(best, order.tolist(), strict=True)
        for value, index in zip(values_of_row, indexes, strict=True)
    )
    return Tensor(tensor.name, "BYTES", (rows, order.shape[1]), pack_bytes(elements))


def rank(values: np.ndarray) -> np.ndarray:
    """Lowest for the highest value. Unsigned numbers have no negative: turn them over in their own range."""
    return np.invert(values) if values.dtype.kind in "ui" else -values


def describe(value: np.generic, index: int, labels: Sequence[str]) -> bytes:
    text = f"{value!s}:{index}"  # a numpy number prints no more digits than it holds
    return (f"{text}:{labels[index]}" if index < len(labels) else text).encode()
