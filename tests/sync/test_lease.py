"""One acts; a lost lease is noticed; the fence only rises."""

import subprocess
import sys

import pytest
import redis.asyncio

from inference.status import FENCE, LEASE
from inference.sync.lease import Lease, NodeLock, read_record, write_record


@pytest.fixture
def valkey_client(valkey):
    return redis.asyncio.Redis.from_url(valkey)


@pytest.mark.asyncio
async def test_only_one_holds_the_lease_and_its_fence_rises_with_each_holder(valkey_client):
    ana, bo = Lease(valkey_client, "ana"), Lease(valkey_client, "bo")

    assert await ana.take()
    assert not await bo.take()
    await ana.release()
    assert await bo.take()
    assert (ana.held, bo.fence) == (False, 2)
    await valkey_client.aclose()


@pytest.mark.asyncio
async def test_a_holder_whose_lease_expired_and_went_to_another_learns_it_at_the_next_renewal(valkey_client):
    ana, bo = Lease(valkey_client, "ana"), Lease(valkey_client, "bo")
    assert await ana.take()
    assert await ana.renew()
    await valkey_client.delete(LEASE)  # as its expiry would
    assert await bo.take()

    assert not await ana.renew()
    assert not ana.held
    assert await bo.renew(), "the loser's renewal does not touch the winner's lease"
    await valkey_client.aclose()


@pytest.mark.asyncio
async def test_the_lease_expires_when_nobody_renews_it(valkey_client):
    assert await Lease(valkey_client, "ana", ttl_s=2).take()

    assert 0 < await valkey_client.pttl(LEASE) <= 2_000
    await valkey_client.aclose()


@pytest.mark.asyncio
async def test_a_successor_on_the_same_node_takes_over_at_once_and_the_old_fence_is_void(valkey_client):
    old, new = Lease(valkey_client, "node-1"), Lease(valkey_client, "node-1")
    assert await old.take()
    assert await new.take()

    assert new.fence > 1
    assert not await old.renew()
    await valkey_client.aclose()


@pytest.mark.asyncio
async def test_the_fence_rises_even_in_a_redis_that_forgot_it(valkey_client):
    lease = Lease(valkey_client, "ana")
    await valkey_client.delete(FENCE)

    assert await lease.take(least_fence=41)
    assert lease.fence == 42
    await valkey_client.aclose()


def test_a_node_has_one_controller_and_its_death_frees_the_lock(tmp_path):
    program = f"""
import sys
from pathlib import Path
from inference.sync.lease import NodeLock
lock = NodeLock(Path({str(tmp_path)!r}))
print(lock.take(), flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"True\n"
        assert not NodeLock(tmp_path).take()
        holder.kill()
    assert NodeLock(tmp_path).take()


@pytest.mark.parametrize("content", [None, b"{", b"[]"], ids=["absent", "cut off", "wrong"])
def test_a_node_keeps_its_name_and_last_fence_across_restarts(tmp_path, content):
    if content is not None:
        (tmp_path / "controller.seat").write_bytes(content)
    record = read_record(tmp_path)
    record.fence = 7
    write_record(tmp_path, record)

    assert read_record(tmp_path) == record
    assert len(record.holder) == 16


def test_a_record_that_cannot_be_written_does_not_keep_a_controller_from_its_seat(tmp_path):
    (tmp_path / "run").write_text("no folder")
    write_record(tmp_path / "run", read_record(tmp_path / "run"))
