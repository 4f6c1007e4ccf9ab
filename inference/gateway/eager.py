"""Run a coroutine at once, in the caller's stack, instead of in a task.

A task costs a trip through the event loop before its first line runs, which an inference that is refused never needs.
This driver runs until the first future that is not done, and goes on from that future's callback. A coroutine
driven this way may await futures (and coroutines that do), and be cancelled; it has no current task, so no
`asyncio.timeout`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
Done = Callable[[Result | None, BaseException | None], None]


class Eager(Generic[Result]):
    """`done(result, None)` or `done(None, error)` is called exactly once, perhaps before the constructor returns."""

    __slots__ = ("coroutine", "done", "waiting_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Result], done: Done[Result]):
        self.coroutine = coroutine
        self.done = done
        self.waiting_for: asyncio.Future[Any] | None = None
        self.step()

    def step(self, _: object = None) -> None:
        self.waiting_for = None
        try:
            future = self.coroutine.send(None)
        except StopIteration as stop:
            self.done(stop.value, None)
        except BaseException as error:
            self.done(None, error)
            if not isinstance(error, (Exception, asyncio.CancelledError)):
                raise
        else:
            self.waiting_for = future
            future.add_done_callback(self.step)

    def cancel(self) -> None:
        """The awaited future is cancelled; the coroutine sees CancelledError where it waits."""
        if self.waiting_for is not None:
            self.waiting_for.cancel()
