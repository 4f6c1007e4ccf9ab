"""Who may act: one at a time, at once where it is safe, and on alone where Redis is away."""

import json

import pytest
import redis.asyncio
from support.waiting import wait_until

from inference.controller.seat import Seat
from inference.status import LEASE
from inference.sync.lease import SeatRecord, write_record

pytestmark = pytest.mark.asyncio


async def test_without_redis_the_nodes_lock_is_enough_and_each_start_has_a_higher_fence(tmp_path):
    first, second = Seat("", tmp_path), Seat("", tmp_path)
    await first.renew(0)
    await second.renew(0)
    assert (first.acts(), second.acts()) == (True, False)

    await first.close()
    await second.renew(0)
    assert second.acts()
    assert second.fence == 2


async def test_two_nodes_share_one_lease(valkey, tmp_path):
    ana, bo = Seat(valkey, tmp_path / "a"), Seat(valkey, tmp_path / "b")
    await ana.renew(0)
    await bo.renew(0)
    assert (ana.acts(), bo.acts()) == (True, False)

    await ana.close()
    await bo.renew(0)
    assert (ana.acts(), bo.acts(), bo.fence) == (False, True, 2)
    await bo.close()


async def test_a_controller_that_lost_its_lease_stops_acting(valkey, tmp_path):
    seat = Seat(valkey, tmp_path)
    await seat.renew(0)
    assert seat.acts()
    async with redis.asyncio.Redis.from_url(valkey) as client:
        await client.set(LEASE, "another/9", px=60_000)
    await seat.renew(0)

    assert not seat.acts()
    assert "Another" in seat.why_not
    await seat.close()


async def test_a_controller_that_was_frozen_past_its_lease_asks_before_it_acts(valkey, tmp_path):
    now = [100.0]
    seat = Seat(valkey, tmp_path, clock=lambda: now[0])
    await seat.renew(0)
    now[0] += 6
    assert not seat.acts()

    await seat.renew(0)
    assert seat.acts()
    await seat.close()


async def test_a_killed_controllers_successor_on_the_node_need_not_wait_for_the_lease_to_expire(valkey, tmp_path):
    killed = Seat(valkey, tmp_path)
    await killed.renew(0)
    killed.lock.release()  # as the kernel does
    successor = Seat(valkey, tmp_path)
    await successor.renew(0)

    assert successor.acts()
    assert successor.fence == killed.fence + 1
    await killed.renew(0)  # had it only been frozen, it would learn it here
    assert json.loads((tmp_path / "controller.seat").read_bytes())["fence"] >= successor.fence
    await successor.close()


async def test_the_holder_goes_on_alone_while_redis_is_away(short_tmp, valkey_at):
    seat = Seat(f"unix://{short_tmp}/valkey.sock", short_tmp / "run")
    with valkey_at(short_tmp):
        wait_until((short_tmp / "valkey.sock").exists)
        await seat.renew(0)
        assert seat.acts()
    await seat.renew(0)
    assert seat.away
    assert seat.acts()
    fence = seat.fence

    with valkey_at(short_tmp):  # it comes back and has forgotten everything
        wait_until((short_tmp / "valkey.sock").exists)
        await seat.renew(0)
        assert seat.acts()
        assert seat.fence > fence, "everything is published anew, and wins"
        await seat.close()


@pytest.mark.parametrize("ours, highest, acts", [(7, 7, True), (7, 8, False), (0, 0, False)], ids=str)
async def test_a_start_without_redis_takes_over_only_what_the_node_held_last(short_tmp, ours, highest, acts):
    (short_tmp / "run").mkdir()
    write_record(short_tmp / "run", SeatRecord("node", ours))
    seat = Seat(f"unix://{short_tmp}/nobody.sock", short_tmp / "run")
    await seat.renew(highest)

    assert seat.acts() is acts
    await seat.close()
