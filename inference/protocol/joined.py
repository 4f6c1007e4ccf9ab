"""One tensor that many requests share, row by row, as a worker answers a batch: each gets its rows as a view.

What every request needs made of its rows is made for all of them at once: one call that writes 64 answers as JSON costs
a tenth of 64 calls.
"""

from collections.abc import Sequence

import orjson

from inference.protocol.messages import Tensor
from inference.protocol.rows import cut
from inference.protocol.tensors import element_count, to_numbers


class Joined:
    __slots__ = ("tensor", "texts")

    def __init__(self, tensor: Tensor):
        self.tensor = tensor
        self.texts: list[bytes] | None = None

    def text(self, start: int, count: int) -> bytes:
        """The values of some rows as JSON, with commas between them; `null` for what is no number."""
        texts = self.texts
        if texts is None:
            texts = self.texts = row_texts(self.tensor)
        if count == 1 or not texts[start]:  # rows without values have no commas between them
            return texts[start]
        return b",".join(texts[start : start + count])


class Share(Tensor, gc=False):
    """A request's rows of a joined tensor."""

    joined: Joined
    start: int


def share_out(tensor: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
    """A tensor for each request, of `sizes` rows, which add up to the tensor's."""
    if tensor.datatype == "BYTES":
        return cut(tensor, sizes)
    name, datatype, data = tensor.name, tensor.datatype, memoryview(tensor.data)
    total, rest = tensor.shape[0], tensor.shape[1:]
    row_bytes = len(data) // total
    joined, one = Joined(tensor), (1, *rest)
    shares, start, offset = [], 0, 0
    for rows in sizes:
        end = offset + rows * row_bytes
        shares.append(Share(name, datatype, one if rows == 1 else (rows, *rest), data[offset:end], joined, start))
        start, offset = start + rows, end
    return shares


def row_texts(tensor: Tensor) -> list[bytes]:
    """For each row of axis 0 its values as JSON. A float32 is written as the shortest number that reads back as it."""
    values = to_numbers(tensor)
    if values.ndim != 2:
        values = values.reshape(tensor.shape[0], element_count(tensor.shape[1:]))
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")
