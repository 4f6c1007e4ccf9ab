"""A batch that is held back for more to come: the queue is pumped again when that is over, or more has come."""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic

TIMER_S = 0.0005  # a timer would take longer than less: the loop is turned instead


class Holding:
    def __init__(self, loop: asyncio.AbstractEventLoop, pump: Callable[[], None], pump_soon: Callable[[], None]):
        self.loop = loop
        self.pump = pump
        self.pump_soon = pump_soon
        self.timer: asyncio.TimerHandle | None = None
        self.until_s = inf

    def hold(self, hold_s: float) -> None:
        """For so long from now, or less if it was to end sooner: a deadline that has come may not wait as long."""
        if hold_s < TIMER_S:
            self.pump_soon()  # the next turn of the loop brings what has come meanwhile
            return
        until_s = monotonic() + hold_s
        if self.timer is None or until_s < self.until_s - TIMER_S:
            if self.timer is not None:
                self.timer.cancel()
            self.timer, self.until_s = self.loop.call_later(hold_s, self.end), until_s

    def end(self) -> None:
        self.timer, self.until_s = None, inf
        self.pump()
