"""The virtual clock and its events.

Events happen in the order of their time, and those of one time in the order in which they were planned, so that a run
is the same each time. An event costs about 1 µs: a day of one request in 200 ms is done in a few seconds.
"""

import sys
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from math import inf, isnan
from typing import Any

LATEST_S = sys.float_info.max
SHORTEST_S = 1e-6  # of a period
MIN_CANCELLED = 1024  # below this many, dead timers are not worth sweeping out


class Timer:
    """A planned event. Cancelling one that has happened does nothing."""

    __slots__ = ("args", "call", "simulation", "when_s")

    def __init__(self, simulation: "Simulation", when_s: float, call: Callable[..., object], args: tuple[Any, ...]):
        self.simulation = simulation
        self.when_s = when_s
        self.call: Callable[..., object] | None = call
        self.args = args

    def cancel(self) -> None:
        if self.call is not None:
            self.call, self.args = None, ()
            self.simulation.forget_cancelled()


class Simulation:
    """Runs callbacks at their virtual times."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.events = 0  # that have happened
        self.planned: list[tuple[float, int, Timer]] = []
        self.sequence = 0
        self.cancelled = 0
        self.stopped = False

    def at(self, when_s: float, call: Callable[..., object], *args: Any) -> Timer:
        """Plan `call(*args)` for `when_s`. Raises ValueError for a time that has passed, or is no number."""
        if when_s < self.now_s or isnan(when_s):
            raise ValueError(f"An event at {when_s} s cannot be planned at {self.now_s} s: name a time from then on.")
        timer = Timer(self, when_s, call, args)
        self.sequence += 1
        heappush(self.planned, (when_s, self.sequence, timer))
        return timer

    def after(self, delay_s: float, call: Callable[..., object], *args: Any) -> Timer:
        """Plan `call(*args)` for `delay_s` from now. Raises ValueError where that is negative or no number."""
        return self.at(self.now_s + delay_s, call, *args)

    def every(self, period_s: float, call: Callable[[], object], until_s: float = inf) -> None:
        """Call now plus one period, plus two, … up to and with `until_s`. The n-th time is a multiple, not a sum, so
        that an hour of tenths ends on the hour. Raises ValueError for a period of less than SHORTEST_S."""
        if not period_s >= SHORTEST_S:
            raise ValueError(f"With a period of {period_s} s time would hardly move: name {SHORTEST_S:g} s or more.")
        first_s, count = self.now_s, 1

        def tick() -> None:
            nonlocal count
            call()
            count += 1
            if first_s + count * period_s <= until_s:
                self.at(first_s + count * period_s, tick)

        if first_s + period_s <= until_s:
            self.at(first_s + period_s, tick)

    def feed(self, times_s: Sequence[float], call: Callable[[int], object]) -> None:
        """Call `call(index)` at each time of an ascending sequence, holding one event of it at a time.

        Times before now happen now, and one that is smaller than the one before it happens together with that.
        """
        moments = [float(moment) for moment in times_s]  # numpy's own floats are three times as slow to compare
        count = len(moments)

        def arrive(index: int) -> None:
            if index + 1 < count:
                self.at(max(self.now_s, moments[index + 1]), arrive, index + 1)
            call(index)

        if count:
            self.at(max(self.now_s, moments[0]), arrive, 0)

    def run(self, until_s: float = inf) -> float:
        """Let all happen up to and with `until_s`; the time then, which is `until_s` where that is finite. What is
        planned for an infinite time never happens."""
        self.stopped = False
        planned, last_s = self.planned, min(until_s, LATEST_S)
        while planned and planned[0][0] <= last_s and not self.stopped:
            when_s, _, timer = heappop(planned)
            call = timer.call
            if call is None:
                self.cancelled -= 1
                continue
            self.now_s = when_s
            timer.call = None
            self.events += 1
            call(*timer.args)
        if not self.stopped and self.now_s < until_s < inf:
            self.now_s = until_s
        return self.now_s

    def stop(self) -> None:
        """End `run` after the event at hand."""
        self.stopped = True

    def forget_cancelled(self) -> None:
        """Sweep dead timers out once they are most of what is planned: a timeout a request would fill the memory."""
        self.cancelled += 1
        if self.cancelled > MIN_CANCELLED and 2 * self.cancelled > len(self.planned):
            self.planned[:] = [item for item in self.planned if item[2].call is not None]
            heapify(self.planned)
            self.cancelled = 0
