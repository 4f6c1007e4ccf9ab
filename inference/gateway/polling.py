"""The event loop looks again and again for a moment before it sleeps, where waits are short (`policy.polling`)."""

import asyncio
import os
from time import monotonic

from inference.policy.polling import Polling


class LoopPolling:
    """`stir()` whenever a batch leaves or its answers have been handed out: more is about to come then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, polling: Polling):
        self.loop = loop
        self.polling = polling
        self.stirred_s = float("-inf")
        self.until_s = 0.0
        self.looking = False

    def stir(self) -> None:
        now_s = monotonic()
        self.polling.ended(now_s - self.stirred_s)
        self.stirred_s = now_s
        self.until_s = now_s + self.polling.patience_s
        if not self.looking and self.until_s > now_s:
            self.looking = True
            self.loop.call_soon(self.look)

    def look(self) -> None:
        """One turn of the loop: with something to call it does not sleep, but sees what its sockets have."""
        self.looking = monotonic() < self.until_s
        if self.looking:
            os.sched_yield()  # whoever has work to do goes first
            self.loop.call_soon(self.look)
