import asyncio
from time import monotonic

import pytest

from inference.gateway.deadlines import SLOT_S, DeadlineWatch

pytestmark = pytest.mark.asyncio


class Item:
    def __init__(self, in_s: float):
        self.deadline_s = monotonic() + in_s
        self.expired_s = 0.0
        self.settled = False

    def expire(self) -> None:
        self.settled = True
        self.expired_s = monotonic()


def watch(items: list[Item]) -> DeadlineWatch:
    deadlines = DeadlineWatch(asyncio.get_running_loop(), lambda: items)
    for item in items:
        deadlines.add(item.deadline_s)
    return deadlines


async def test_items_expire_in_their_time_whatever_the_order_they_came_in() -> None:
    items = [Item(in_s) for in_s in (0.10, 0.02, 0.06, 0.02)]
    watch(items)
    await asyncio.sleep(0.2)
    for item in items:
        late_s = item.expired_s - item.deadline_s
        assert 0 <= late_s < 2 * SLOT_S + 0.05


async def test_what_was_answered_does_not_expire_and_leaves_no_timer_behind() -> None:
    items = [Item(0.02) for _ in range(1_000)]
    deadlines = watch(items)
    for item in items:
        item.settled = True
    await asyncio.sleep(0.06)
    assert not any(item.expired_s for item in items)
    assert deadlines.timer is None


async def test_a_later_deadline_sets_no_timer_and_an_earlier_one_moves_it() -> None:
    items = [Item(30.0)]
    deadlines = watch(items)
    first = deadlines.timer
    deadlines.add(items[0].deadline_s + 10)
    assert deadlines.timer is first
    items.append(Item(0.02))
    deadlines.add(items[1].deadline_s)
    await asyncio.sleep(0.08)
    assert items[1].expired_s
    assert not items[0].expired_s
    assert deadlines.earliest_s == items[0].deadline_s


async def test_what_an_expiry_does_may_add_a_deadline() -> None:
    class Chain(Item):
        def expire(self) -> None:
            super().expire()
            items.append(second)
            deadlines.add(second.deadline_s)

    second = Item(0.06)
    items: list[Item] = [Chain(0.02)]
    deadlines = watch(items)
    await asyncio.sleep(0.12)
    assert second.expired_s
