import asyncio
from time import monotonic

import pytest

from inference.gateway.deadlines import SLOT_S, Deadlines

pytestmark = pytest.mark.asyncio


class Item:
    def __init__(self, in_s: float):
        self.deadline_s = monotonic() + in_s
        self.expired_s = 0.0

    def expire(self) -> None:
        self.expired_s = monotonic()


async def test_items_expire_in_their_time_whatever_the_order_they_came_in() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    items = [Item(in_s) for in_s in (0.10, 0.02, 0.06, 0.02)]
    for item in items:
        deadlines.add(item)
    await asyncio.sleep(0.2)
    for item in items:
        late_s = item.expired_s - item.deadline_s
        assert 0 <= late_s < SLOT_S + 0.05


async def test_what_was_answered_does_not_expire_and_leaves_nothing_behind() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    items = [Item(0.02) for _ in range(1_000)]
    for item in items:
        deadlines.add(item)
    for item in items:
        deadlines.discard(item)
        deadlines.discard(item)
    assert not deadlines.slots
    await asyncio.sleep(0.05)
    assert not any(item.expired_s for item in items)
    assert deadlines.timer is None


async def test_one_that_expires_may_add_another() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    second = Item(0.03)

    class First(Item):
        def expire(self) -> None:
            deadlines.add(second)

    deadlines.add(First(0.01))
    await asyncio.sleep(0.1)
    assert second.expired_s
