"""A selector that looks again and again for a moment before it sleeps, where waits are short (`policy.polling`)."""

import os
import selectors
from time import monotonic

from inference.policy.polling import Polling

Ready = list[tuple[selectors.SelectorKey, int]]


class PollingSelector(selectors.DefaultSelector):
    def __init__(self, polling: Polling):
        super().__init__()
        self.polling = polling

    def select(self, timeout: float | None = None) -> Ready:
        """As any selector; `timeout` in seconds, None for ever."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        began_s = monotonic()
        patience_s = self.polling.patience_s if timeout is None else min(timeout, self.polling.patience_s)
        ready = self.look(began_s + patience_s) if patience_s else []
        if not ready:
            ready = super().select(None if timeout is None else max(0.0, timeout - patience_s))
        wait_s = monotonic() - began_s
        if ready or wait_s > self.polling.longest_s:  # a time limit that was short says nothing
            self.polling.ended(wait_s)
        return ready

    def look(self, until_s: float) -> Ready:
        while not (ready := super().select(0)) and monotonic() < until_s:
            os.sched_yield()  # whoever has work to do goes first
        return ready
