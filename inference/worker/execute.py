"""Answer one batch: check each item, group, collate, run, split. A bad item fails alone; its mates are answered.

When the model raises on a group, its items are tried again one by one, so the one that did it fails and no other.
A client learns what went wrong by code and sentence; the stack goes to the log.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct

from inference.errors import BadInput, DeadlinePassed, Failed, ModelFailed, OutputNotFinite, SwitchyardError
from inference.log import get_log
from inference.processors.base import TOKEN_COUNTS, BadRow
from inference.protocol.messages import Tensor
from inference.spec import TensorSpec
from inference.transport.frames import ItemResult, head_of, tensors_of
from inference.transport.server import Batch, Timings
from inference.worker.collate import (
    Arrays,
    Empty,
    check_outputs,
    collate,
    finite_rows,
    form_of,
    free_axes,
    new_array,
    own_lengths,
    read_item,
    split,
)

log = get_log()


class Runnable(Protocol):
    """A loaded unit, as `runtimes.pipeline.Pipeline` is one."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, batch: Arrays) -> Arrays: ...


class Cancelled(SwitchyardError):
    """Nobody waits for this item any more."""

    code = "cancelled"


class DeviceLost(Failed):
    """The device is broken for this process: every later run would fail too. The worker ends and is started anew."""

    code = "device_lost"


class Work(Struct):
    """One item on its way through the model."""

    index: int
    rows: int
    arrays: Arrays


Outcome = list[Tensor] | SwitchyardError


class Execution:
    """One batch being answered."""

    def __init__(
        self, pipeline: Runnable, max_rows: int, empty: Empty, batch: Batch, clock: Callable[[], float]
    ) -> None:
        self.pipeline = pipeline
        self.max_rows = max_rows
        self.empty = empty
        self.batch = batch
        self.clock = clock
        self.took = Timings()
        self.failed = False  # the model raised, and the log has its stack
        self.outcomes: list[Outcome] = [[] for _ in batch.items]
        self.tokens = [0] * len(batch.items)

    def run(self) -> tuple[list[ItemResult], list[bytes | memoryview]]:
        """Answers in the order of the items, and the body that goes with them. Raises DeviceLost."""
        start = time.perf_counter_ns()
        works = self.read_items()
        groups = group(works, self.max_rows, self.pipeline.inputs)
        self.took.collate_ns += time.perf_counter_ns() - start
        for works in groups:
            self.run_group(works)
        return self.results()

    def read_items(self) -> list[Work]:
        works, offset = [], 0
        for index, item in enumerate(self.batch.items):
            tensors, offset = tensors_of(item.tensors, self.batch.body, offset)
            try:
                self.check_wanted(index)
                if not 0 < item.rows <= self.max_rows:
                    raise BadInput(f"The request has {item.rows} rows; 1 to {self.max_rows} are possible in one.")
                works.append(Work(index, item.rows, read_item(tensors, item.rows, self.pipeline.inputs)))
            except SwitchyardError as error:
                self.outcomes[index] = error
        return works

    def check_wanted(self, index: int) -> None:
        """Raise where nobody waits for this item any more."""
        if index in self.batch.cancelled:
            raise Cancelled("The client hung up.")
        deadline_ms = self.batch.items[index].deadline_ms
        if deadline_ms and (self.clock() - self.batch.arrived_s) * 1000 >= deadline_ms:
            raise DeadlinePassed("The deadline passed before the model could start. Allow more time or add replicas.")

    def run_group(self, works: list[Work]) -> None:
        """Answer items of one form. Ends: each round answers all, or has one item fewer."""
        while works:
            try:
                shares = self.infer(works)
            except DeviceLost:
                raise
            except BadRow as error:
                work, row = at_row(works, error.row)
                self.outcomes[work.index] = BadRow(error.tensor, row, error.why)
                works = [other for other in works if other is not work]
            except Exception as error:
                if len(works) == 1:
                    self.outcomes[works[0].index] = self.explain(error)
                else:
                    self.run_alone(works)
                return
            else:
                for work, share in zip(works, shares, strict=True):
                    self.outcomes[work.index] = share
                return

    def run_alone(self, works: list[Work]) -> None:
        log.warning("batch_tried_one_by_one", batch=self.batch.number, items=len(works))
        for work in works:
            try:
                self.check_wanted(work.index)
            except SwitchyardError as late:
                self.outcomes[work.index] = late
            else:
                self.run_group([work])

    def infer(self, works: Sequence[Work]) -> list[Outcome]:
        pipeline, took = self.pipeline, self.took
        rows = [work.rows for work in works]
        began = time.perf_counter_ns()
        items = [work.arrays for work in works]
        arrays = collate(items, pipeline.inputs, self.empty)
        collated = time.perf_counter_ns()
        took.collate_ns += collated - began
        try:
            outputs = pipeline.run(arrays)
        except Exception as error:
            if is_device_lost(error):
                raise DeviceLost(f"The device failed: {error}") from error
            raise
        finally:
            ran = time.perf_counter_ns()
            took.infer_ns += ran - collated
        if (counts := outputs.get(TOKEN_COUNTS)) is not None:
            self.count_tokens(works, counts)
        outputs = check_outputs(outputs, sum(rows), pipeline.outputs)
        if self.empty is not new_array:
            outputs = own_memory(outputs, arrays)
        shares: list[Outcome] = list(split(outputs, rows, pipeline.outputs, own_lengths(items, pipeline.inputs)))
        for spec in pipeline.outputs:
            if spec.finite:
                refuse_infinite(shares, rows, finite_rows(outputs[spec.name], spec.datatype), spec.name)
        took.split_ns += time.perf_counter_ns() - ran
        return shares

    def count_tokens(self, works: Sequence[Work], counts: np.ndarray) -> None:
        start = 0
        for work in works:
            self.tokens[work.index] = int(counts[start : start + work.rows].sum())
            start += work.rows

    def explain(self, error: Exception) -> SwitchyardError:
        """What a client may know of an error: ours as it is, any other by its kind. The log has the rest."""
        if isinstance(error, BadInput):
            return error
        # One stack a batch: a model that is broken for every input must not bury the log.
        log.error("model_failed", batch=self.batch.number, exc_info=None if self.failed else error, error=repr(error))
        self.failed = True
        if isinstance(error, SwitchyardError):
            return error
        return ModelFailed(f"The model failed on this input ({type(error).__name__}). The worker's log says more.")

    def results(self) -> tuple[list[ItemResult], list[bytes | memoryview]]:
        start = time.perf_counter_ns()
        results, body = [], []
        for outcome, tokens in zip(self.outcomes, self.tokens, strict=True):
            if isinstance(outcome, list):
                results.append(ItemResult([head_of(tensor) for tensor in outcome], tokens=tokens))
                body += [tensor.data for tensor in outcome]
            else:
                results.append(ItemResult([], outcome.code, str(outcome)))
        self.took.split_ns += time.perf_counter_ns() - start
        return results, body


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


def own_memory(outputs: Arrays, arrays: Arrays) -> Arrays:
    """Copies of outputs that are views of the memory we collated into: the next group is written there."""
    return {
        name: values.copy() if any(np.may_share_memory(values, array) for array in arrays.values()) else values
        for name, values in outputs.items()
    }


def at_row(works: Sequence[Work], row: int) -> tuple[Work, int]:
    """The item that row `row` of the batch belongs to, and the row in it."""
    for work in works:
        if row < work.rows:
            return work, row
        row -= work.rows
    raise ModelFailed("A processor named a row that the batch does not have.")


def refuse_infinite(shares: list[Outcome], rows: Sequence[int], finite: np.ndarray, name: str) -> None:
    if finite.all():
        return
    start = 0
    for index, count in enumerate(rows):
        if not finite[start : start + count].all():
            shares[index] = OutputNotFinite(f"The model gave NaN or infinity in output {name!r} for this input.")
        start += count


def is_device_lost(error: BaseException | None) -> bool:
    """A CUDA error other than "out of memory" poisons the context: nothing runs in this process after it."""
    while error is not None:
        kind = type(error).__name__
        if kind == "AcceleratorError" or (kind != "OutOfMemoryError" and "CUDA error" in str(error)):
            return True
        error = error.__cause__
    return False


def execute(
    pipeline: Runnable,
    batch: Batch,
    max_rows: int,
    empty: Empty = new_array,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[ItemResult], list[bytes | memoryview], Timings]:
    execution = Execution(pipeline, max_rows, empty, batch, clock)
    results, body = execution.run()
    return results, body, execution.took
