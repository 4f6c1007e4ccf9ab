"""A batch as the frame that carries it to a worker, and the answer's frame as outputs of its requests.

Requests of one form (they differ in rows only) are laid end to end, one tensor a name: the worker then makes one array
of it without looking at any request, and answers so. The others travel side by side, and it collates them.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from inference.gateway.work import Work
from inference.protocol.joined import share_out
from inference.protocol.messages import Tensor
from inference.transport.frames import BadFrame, Data, Item, Kind, Result, TensorHead, head_of, pack_parts, tensors_of

Frame = Sequence[bytes | memoryview]  # its parts

NONE: list[TensorHead] = []


class UnitForm(Struct, frozen=True):
    """What a queue needs to know of its unit's stages."""

    runs_model: bool
    fixed: bool  # its inputs differ in rows only, so any two requests can be laid end to end


def same_form(works: Sequence[Work]) -> bool:
    """Whether all tensors of a name have rows of the same shape."""
    first = [tensor.shape[1:] for tensor in works[0].tensors]
    return all([tensor.shape[1:] for tensor in work.tensors] == first for work in works[1:])


def pack_joined(number: int, works: Sequence[Work], rows: int, now_s: float) -> Frame:
    items = [Item(work.rows, left_ms(work, now_s), NONE) for work in works]
    heads, body = [], []
    for place, first in enumerate(works[0].tensors):
        column = [work.tensors[place].data for work in works]
        heads.append(TensorHead(first.name, first.datatype, (rows, *first.shape[1:]), sum(map(len, column))))
        body += column
    return pack_parts(Kind.DATA, Data(number, items, heads), body)


def pack_apart(number: int, works: Sequence[Work], now_s: float) -> Frame:
    items = [Item(work.rows, left_ms(work, now_s), [head_of(tensor) for tensor in work.tensors]) for work in works]
    return pack_parts(Kind.DATA, Data(number, items), [tensor.data for work in works for tensor in work.tensors])


def left_ms(work: Work, now_s: float) -> int:
    return max(1, int((work.deadline_s - now_s) * 1000))


def read_outputs(result: Result, works: Sequence[Work], body: memoryview) -> Iterable[Sequence[Tensor]]:
    """The output tensors of each request. Raises BadFrame for a result that contradicts itself or the batch."""
    if result.joined:
        sizes = [work.rows for work in works]
        tensors, _ = tensors_of(result.joined, body)
        if any(tensor.shape[:1] != (sum(sizes),) for tensor in tensors):
            raise BadFrame(f"An answer to {sum(sizes)} rows has tensors of another length.")
        return zip(*(share_out(tensor, sizes) for tensor in tensors), strict=True)
    offset, outputs = 0, []
    for item in result.items:
        tensors, offset = tensors_of(item.tensors, body, offset)
        outputs.append(tensors)
    return outputs
