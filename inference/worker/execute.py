"""Answer one batch: check each item, group, collate, run, split. A bad item fails alone; its mates are answered.

A batch that comes joined and has nothing wrong with it is one array from end to end: its items are not looked at.
When the model raises on a group, its items are tried again one by one, so the one that did it fails and no other.
A client learns what went wrong by code and sentence; the stack goes to the log.
"""

import struct
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from inference.errors import BadInput, DeadlinePassed, ModelFailed, OutputNotFinite, SwitchyardError
from inference.log import get_log
from inference.processors.base import TOKEN_COUNTS, BadRow
from inference.protocol.messages import Tensor
from inference.protocol.rows import cut
from inference.spec import TensorSpec
from inference.transport.batch import Batch, Timings
from inference.transport.frames import ItemResult, TensorHead, head_of, tensors_of
from inference.worker.collate import (
    Arrays,
    Empty,
    check_outputs,
    collate,
    finite_rows,
    new_array,
    own_lengths,
    own_memory,
    read_item,
    split,
    to_tensor,
)
from inference.worker.failures import Cancelled, DeviceLost, is_device_lost
from inference.worker.items import Work, at_row, group

log = get_log()


class Runnable(Protocol):
    """A loaded unit, as `runtimes.pipeline.Pipeline` is one."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, batch: Arrays) -> Arrays: ...


FOREVER_MS = 2**62
Outcome = list[Tensor] | SwitchyardError
Answers = tuple[list[ItemResult], list[bytes | memoryview], list[TensorHead]]  # as in `frames.Result`, with the body


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
        self.counts: np.ndarray | None = None  # tokens of each row of the last run, where the unit counts them

    def run(self) -> Answers:
        """Answers in the order of the items, and the body that goes with them. Raises DeviceLost."""
        start = time.perf_counter_ns()
        arrays = self.read_joined() if self.batch.joined else None
        if arrays is not None:
            self.took.collate_ns += time.perf_counter_ns() - start
            return self.run_joined(arrays, sum([item.rows for item in self.batch.items]))
        works = self.read_items()
        groups = group(works, self.max_rows, self.pipeline.inputs)
        self.took.collate_ns += time.perf_counter_ns() - start
        for works in groups:
            self.run_group(works)
        return self.results()

    def read_joined(self) -> Arrays | None:
        """All items as one; None where they have to be told apart."""
        batch, rows = self.batch, [item.rows for item in self.batch.items]
        if sum(rows) > self.max_rows or min(rows) < 1:
            return None
        try:
            if batch.cancelled or self.is_late(min([item.deadline_ms or FOREVER_MS for item in batch.items])):
                return None
            tensors, _ = tensors_of(batch.joined, batch.body)
            # Many clients' rows: should the model write to them and then fail, each is read again as it came.
            items, specs = [read_item(tensors, sum(rows), self.pipeline.inputs)], self.pipeline.inputs
            return collate(items, specs, self.empty, keep=len(rows) == 1)
        except SwitchyardError:
            return None

    def run_joined(self, arrays: Arrays, rows: int) -> Answers:
        pipeline = self.pipeline
        try:
            outputs = self.compute(arrays, rows)
        except DeviceLost:
            raise
        except Exception as error:
            self.run_group(self.recover(self.read_items(begun=True), error))
            return self.results()
        start = time.perf_counter_ns()
        items = []
        if self.counts is not None:
            self.count_tokens(enumerate([item.rows for item in self.batch.items]), self.counts)
            items = [ItemResult([], tokens=tokens) for tokens in self.tokens]
        if not all(finite_rows(outputs[spec.name], spec.datatype).all() for spec in pipeline.outputs if spec.finite):
            works = self.read_items(begun=True)
            self.keep(works, self.share(works, outputs))
            return self.results()
        joined = [to_tensor(outputs[spec.name], spec) for spec in pipeline.outputs]
        self.took.split_ns += time.perf_counter_ns() - start
        return items, [tensor.data for tensor in joined], [head_of(tensor) for tensor in joined]

    def read_items(self, begun: bool = False) -> list[Work]:
        """The items that can be run. Once the model has begun those are all: outputs and rows are counted through."""
        works = []
        try:
            apart = list(self.tensors_apart())
        except struct.error:
            self.outcomes = [BadInput("A BYTES tensor ends inside an element.") for _ in self.batch.items]
            return []
        for index, (item, tensors) in enumerate(zip(self.batch.items, apart, strict=True)):
            try:
                if not begun:
                    self.check_wanted(index)
                if not 0 < item.rows <= self.max_rows:
                    raise BadInput(f"The request has {item.rows} rows; 1 to {self.max_rows} are possible in one.")
                works.append(Work(index, item.rows, read_item(tensors, item.rows, self.pipeline.inputs)))
            except SwitchyardError as error:
                self.outcomes[index] = error
        return works

    def tensors_apart(self) -> Iterable[Sequence[Tensor]]:
        batch = self.batch
        if batch.joined:
            tensors, _ = tensors_of(batch.joined, batch.body)
            sizes = [item.rows for item in batch.items]
            return zip(*(cut(tensor, sizes) for tensor in tensors), strict=True)
        apart, offset = [], 0
        for item in batch.items:
            tensors, offset = tensors_of(item.tensors, batch.body, offset)
            apart.append(tensors)
        return apart

    def check_wanted(self, index: int) -> None:
        """Raise where nobody waits for this item any more."""
        if index in self.batch.cancelled:
            raise Cancelled("The client hung up.")
        deadline_ms = self.batch.items[index].deadline_ms
        if deadline_ms and self.is_late(deadline_ms):
            raise DeadlinePassed("The deadline passed before the model could start. Allow more time or add replicas.")

    def is_late(self, deadline_ms: int) -> bool:
        return (self.clock() - self.batch.arrived_s) * 1000 >= deadline_ms

    def run_group(self, works: list[Work]) -> None:
        """Answer items of one form. Ends: each round answers all, or has one item fewer."""
        while works:
            try:
                shares = self.infer(works)
            except DeviceLost:
                raise
            except Exception as error:
                works = self.recover(works, error)
            else:
                self.keep(works, shares)
                return

    def keep(self, works: Sequence[Work], shares: Sequence[Outcome]) -> None:
        for work, share in zip(works, shares, strict=True):
            self.outcomes[work.index] = share

    def recover(self, works: list[Work], error: Exception) -> list[Work]:
        """Find out whose the error is, alone if need be. Gives those that are still to be run together."""
        if isinstance(error, BadRow):
            work, row = at_row(works, error.row)
            self.outcomes[work.index] = BadRow(error.tensor, row, error.why)
            return [other for other in works if other is not work]
        if len(works) == 1:
            self.outcomes[works[0].index] = self.explain(error)
        else:
            self.run_alone(works)
        return []

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
        start = time.perf_counter_ns()
        arrays = collate([work.arrays for work in works], self.pipeline.inputs, self.empty)
        self.took.collate_ns += time.perf_counter_ns() - start
        outputs = self.compute(arrays, sum([work.rows for work in works]))
        if self.counts is not None:
            self.count_tokens([(work.index, work.rows) for work in works], self.counts)
        return self.share(works, outputs)

    def share(self, works: Sequence[Work], outputs: Arrays) -> list[Outcome]:
        """Each item's own; an error for one whose rows hold what they must not."""
        start = time.perf_counter_ns()
        specs, rows = self.pipeline.outputs, [work.rows for work in works]
        lengths = own_lengths([work.arrays for work in works], self.pipeline.inputs)
        shares: list[Outcome] = list(split(outputs, rows, specs, lengths))
        for spec in specs:
            if spec.finite:
                refuse_infinite(shares, rows, finite_rows(outputs[spec.name], spec.datatype), spec.name)
        self.took.split_ns += time.perf_counter_ns() - start
        return shares

    def compute(self, arrays: Arrays, rows: int) -> Arrays:
        """The outputs, held against the signature. Raises DeviceLost, ModelFailed, and whatever the model raises."""
        start = time.perf_counter_ns()
        try:
            outputs = self.pipeline.run(arrays)
        except Exception as error:
            if is_device_lost(error):
                raise DeviceLost(f"The device failed: {error}") from error
            raise
        finally:
            self.took.infer_ns += time.perf_counter_ns() - start
        self.counts = outputs.get(TOKEN_COUNTS)
        outputs = check_outputs(outputs, rows, self.pipeline.outputs)
        return outputs if self.empty is new_array else own_memory(outputs, arrays)

    def count_tokens(self, rows: Iterable[tuple[int, int]], counts: np.ndarray) -> None:
        """`rows` are (index of the item, its rows), in the order of the batch."""
        start = 0
        for index, size in rows:
            self.tokens[index] = int(counts[start : start + size].sum())
            start += size

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

    def results(self) -> Answers:
        start = time.perf_counter_ns()
        results, body = [], []
        for outcome, tokens in zip(self.outcomes, self.tokens, strict=True):
            if isinstance(outcome, list):
                results.append(ItemResult([head_of(tensor) for tensor in outcome], tokens=tokens))
                body += [tensor.data for tensor in outcome]
            else:
                results.append(ItemResult([], outcome.code, str(outcome)))
        self.took.split_ns += time.perf_counter_ns() - start
        return results, body, []


def refuse_infinite(shares: list[Outcome], rows: Sequence[int], finite: np.ndarray, name: str) -> None:
    if finite.all():
        return
    start = 0
    for index, count in enumerate(rows):
        if not finite[start : start + count].all():
            shares[index] = OutputNotFinite(f"The model gave NaN or infinity in output {name!r} for this input.")
        start += count


def execute(
    pipeline: Runnable,
    batch: Batch,
    max_rows: int,
    empty: Empty = new_array,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[ItemResult], list[bytes | memoryview], Timings, list[TensorHead]]:
    """What `Server.answer` takes."""
    execution = Execution(pipeline, max_rows, empty, batch, clock)
    results, body, joined = execution.run()
    return results, body, execution.took, joined
