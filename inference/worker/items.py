"""Items of a batch on their way through the model: which can go together, and whose a row is."""

from collections.abc import Sequence

from msgspec import Struct

from inference.errors import ModelFailed
from inference.spec import TensorSpec
from inference.worker.collate import Arrays, form_of, free_axes


class Work(Struct):
    """One item on its way through the model."""

    index: int
    rows: int
    arrays: Arrays


def group(works: Sequence[Work], max_rows: int, specs: Sequence[TensorSpec]) -> list[list[Work]]:
    """Items of one form together, in order, at most `max_rows` rows a run."""
    groups: list[list[Work]] = []
    open_groups: dict[tuple, tuple[list[Work], int]] = {}
    axes = free_axes(specs)
    for work in works:
        form = form_of(work.arrays, axes)
        members, rows = open_groups.get(form, ([], max_rows))
        if rows + work.rows > max_rows:
            members, rows = [], 0
            groups.append(members)
        members.append(work)
        open_groups[form] = (members, rows + work.rows)
    return groups


def at_row(works: Sequence[Work], row: int) -> tuple[Work, int]:
    """The item that row `row` of the batch belongs to, and the row in it."""
    for work in works:
        if row < work.rows:
            return work, row
        row -= work.rows
    raise ModelFailed("A processor named a row that the batch does not have.")
