"""The event loop looks again and again for a moment before it sleeps, where waits are short (`policy.polling`)."""

import asyncio
import os
from time import monotonic

from inference.policy.polling import Polling


class LoopPolling:
    """Told of each batch that leaves and of each that was answered: something is about to come after either.

    After a batch has left, its answer; after answers, the next requests of those clients. The one may be as far off as
    the model is slow and the other at hand, so each is learnt for itself.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, longest_s: float):
        self.loop = loop
        self.after_batch = Polling(longest_s)
        self.after_answers = Polling(longest_s)
        self.waiting = self.after_batch  # whose wait began last
        self.since_s = float("-inf")
        self.until_s = 0.0
        self.looking = False

    def batch_left(self) -> None:
        self.wait(self.after_batch)

    def answers_left(self) -> None:
        self.wait(self.after_answers)

    def wait(self, polling: Polling) -> None:
        now_s = monotonic()
        if polling is not self.waiting:  # between batches that leave in one turn, to several replicas, is no wait
            self.waiting.ended(now_s - self.since_s)
        self.waiting, self.since_s = polling, now_s
        self.until_s = now_s + polling.patience_s
        if not self.looking and self.until_s > now_s:
            self.looking = True
            self.loop.call_soon(self.look)

    def look(self) -> None:
        """One turn of the loop: with something to call it does not sleep, but sees what its sockets have."""
        self.looking = monotonic() < self.until_s
        if self.looking:
            os.sched_yield()  # whoever has work to do goes first
            self.loop.call_soon(self.look)
