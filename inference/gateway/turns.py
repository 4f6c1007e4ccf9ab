"""Fair turns: what clients pile up is read a little in each turn of the loop, one connection after the other.

Whoever sends a thousand requests in one go, or a body that takes long to unpack, waits for himself: all others are
read, answered and accepted between two turns, which take no longer for a hundred such clients than for one. So that a
loop that never rests keeps no other process waiting either, a worker with the answer of a good request most of all, the
core is offered to them after each turn; where none waits, that costs less than a microsecond.
"""

import asyncio
import os
from collections import OrderedDict
from time import monotonic
from typing import Protocol

TURN_S = 250e-6  # of work on what is piled up, before others have theirs; the last piece may go beyond


class Reading(Protocol):
    def take_turn(self) -> bool:
        """Read a little of what is piled up; whether there is more that can be read now."""


class Turns:
    def __init__(self) -> None:
        self.line: OrderedDict[Reading, None] = OrderedDict()
        self.scheduled = False

    def join(self, reading: Reading) -> None:
        """Have a turn soon, behind those that wait already."""
        self.line[reading] = None
        self.schedule()

    def schedule(self) -> None:
        if not self.scheduled:
            self.scheduled = True
            asyncio.get_running_loop().call_soon(self.take)

    def take(self) -> None:
        self.scheduled = False
        end_s = monotonic() + TURN_S
        try:
            while self.line:
                reading, _ = self.line.popitem(last=False)
                if reading.take_turn():
                    self.line[reading] = None
                if monotonic() >= end_s:
                    break
        finally:  # whatever breaks for one, the others have their turn
            if self.line:
                os.sched_yield()
                self.schedule()
