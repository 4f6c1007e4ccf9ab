"""Deadlines of many requests on one timer.

A timer for each request would be set and cancelled thousands of times a second and hardly ever fire. Here they lie in
slots of `SLOT_S`; the timer is set for the first slot in use, and only while there is one. So a deadline is acted on
up to one slot late, never early.
"""

import asyncio
from math import ceil
from time import monotonic
from typing import Protocol

SLOT_S = 0.005


class Expiring(Protocol):
    deadline_s: float

    def expire(self) -> None: ...


class Deadlines:
    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.loop = loop
        self.slots: dict[int, set[Expiring]] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.timer_slot = 0

    def add(self, item: Expiring) -> None:
        slot = ceil(item.deadline_s / SLOT_S)
        held = self.slots.get(slot)
        if held is None:
            self.slots[slot] = {item}
            if self.timer is None or slot < self.timer_slot:
                self.set_timer(slot)
        else:
            held.add(item)

    def discard(self, item: Expiring) -> None:
        slot = ceil(item.deadline_s / SLOT_S)
        held = self.slots.get(slot)
        if held is not None:
            held.discard(item)
            if not held:
                del self.slots[slot]  # the timer may then fire for nothing, once

    def set_timer(self, slot: int) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer_slot = slot
        self.timer = self.loop.call_later(max(0.0, slot * SLOT_S - monotonic()), self.fire)

    def fire(self) -> None:
        self.timer = None
        now = monotonic() / SLOT_S
        for slot in [slot for slot in self.slots if slot <= now]:
            for item in self.slots.pop(slot):
                item.expire()
        if self.slots:
            self.set_timer(min(self.slots))
