"""Deadlines of all that one queue has in hand, on one timer.

A timer for each request would be set and cancelled thousands of times a second and hardly ever fire, and so would an
entry in any list of deadlines. Only the earliest is remembered: when it comes, what is in hand is looked through for
what is late and for the next. Most requests were answered long before, so there is little to look through; while
deadlines do pass, it happens once in `SLOT_S` at most. So a deadline is acted on a little late, never early.
"""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Protocol

SLOT_S = 0.005


class Expiring(Protocol):
    deadline_s: float
    settled: bool

    def expire(self) -> None: ...


class DeadlineWatch:
    def __init__(self, loop: asyncio.AbstractEventLoop, in_hand: Callable[[], Iterable[Expiring]]):
        self.loop = loop
        self.in_hand = in_hand
        self.earliest_s = float("inf")
        self.timer: asyncio.TimerHandle | None = None

    def add(self, deadline_s: float) -> None:
        if deadline_s < self.earliest_s:
            self.set_timer(deadline_s)

    def set_timer(self, deadline_s: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.earliest_s = deadline_s
        self.timer = self.loop.call_later(max(0.0, deadline_s - monotonic()) + SLOT_S, self.fire)

    def fire(self) -> None:
        self.timer, self.earliest_s = None, float("inf")
        now_s = monotonic()
        next_s = float("inf")
        late = []
        for item in self.in_hand():
            if item.settled:
                continue
            if item.deadline_s <= now_s:
                late.append(item)
            elif item.deadline_s < next_s:
                next_s = item.deadline_s
        self.add(next_s)
        for item in late:
            item.expire()
