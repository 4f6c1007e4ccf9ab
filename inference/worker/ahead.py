"""On a GPU: a batch is collated and launched while the one before it still runs, so that the device waits for nobody.

Two are under way at most, answered in the order they came. Only what comes joined is launched ahead, which is what
requests of one form do; anything else is run when its turn comes. Whatever goes wrong with a launched batch is found
when it is waited for, and its items are then tried alone, as everywhere.
"""

import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Protocol

from inference.transport.batch import Batch
from inference.worker.collate import Arrays, Empty
from inference.worker.execute import Execution, Runnable
from inference.worker.loop import Loop

MOST = 2  # under way: one on the device, the next behind it. `buffers` has as many arrays a name
POLL_S = 0.0002  # between looks at the device while the sockets are watched


class Launched(Protocol):
    def is_done(self) -> bool: ...

    def wait(self) -> Arrays: ...


class Launchable(Runnable, Protocol):
    def launch(self, batch: Arrays) -> Launched: ...


class Refused:
    """A launch that did not happen. Its error is told in turn."""

    def __init__(self, error: Exception):
        self.error = error

    def is_done(self) -> bool:
        return True

    def wait(self) -> Arrays:
        raise self.error


class FirstLaunched:
    """A pipeline whose next run has been launched already."""

    def __init__(self, pipeline: Launchable):
        self.pipeline = pipeline
        self.inputs, self.outputs = pipeline.inputs, pipeline.outputs
        self.launched: Launched | None = None

    def launch(self, batch: Arrays) -> None:
        try:
            self.launched = self.pipeline.launch(batch)
        except Exception as error:  # whatever a model raises
            self.launched = Refused(error)

    def run(self, batch: Arrays) -> Arrays:
        launched, self.launched = self.launched, None
        return self.pipeline.run(batch) if launched is None else launched.wait()


class LaunchedBatch(Execution):
    """A batch that is launched first, and answered by `run`."""

    def __init__(
        self, pipeline: Launchable, max_rows: int, empty: Empty, batch: Batch, clock: Callable[[], float]
    ) -> None:
        self.first = FirstLaunched(pipeline)
        super().__init__(self.first, max_rows, empty, batch, clock)
        self.arrays: Arrays | None = None
        self.launched_ns = 0

    def launch(self) -> None:
        start = time.perf_counter_ns()
        self.arrays = super().read_joined() if self.batch.joined else None
        self.launched_ns = time.perf_counter_ns()
        self.took.collate_ns += self.launched_ns - start
        if self.arrays is not None:
            self.first.launch(self.arrays)

    def read_joined(self) -> Arrays | None:
        return self.arrays

    def is_done(self) -> bool:
        return self.first.launched is None or self.first.launched.is_done()


class Ahead:
    """`step` is what `Loop.work` takes."""

    def __init__(self, loop: Loop, pipeline: Launchable, max_rows: int, empty: Empty) -> None:
        self.loop, self.pipeline, self.max_rows, self.empty = loop, pipeline, max_rows, empty
        self.under_way: deque[LaunchedBatch] = deque()
        self.done_ns = 0  # when the last one was

    def step(self) -> float:
        inbox = self.loop.server.inbox
        if inbox and len(self.under_way) < MOST:
            batch = LaunchedBatch(self.pipeline, self.max_rows, self.empty, inbox.popleft(), time.monotonic)
            batch.launch()
            self.under_way.append(batch)
            return 0.0
        if not self.under_way:
            return inf
        if len(self.under_way) < MOST and not self.under_way[0].is_done():
            return POLL_S
        self.answer(self.under_way.popleft())
        return 0.0

    def answer(self, execution: LaunchedBatch) -> None:
        """Raises DeviceLost."""
        items, body, joined = execution.run()
        took, batch, now_ns = execution.took, execution.batch, time.perf_counter_ns()
        # The device worked on it since it was launched, or since the one before it was done: not only while we waited.
        took.infer_ns = now_ns - max(execution.launched_ns, self.done_ns) - took.split_ns
        self.done_ns = now_ns
        self.loop.server.answer(batch, items, body, took, joined)
        self.loop.vitals.count(sum(item.rows for item in batch.items), took.infer_ns)
