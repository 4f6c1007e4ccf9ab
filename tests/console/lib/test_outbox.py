"""A change reaches Redis after its transaction, whatever happens between, and never backwards."""

import msgspec
import pytest
import redis
from django.db import transaction

from console.lib import outbox
from console.lib.models import OutboxMark
from console.lib.publish import publisher
from inference import spec

pytestmark = pytest.mark.django_db(transaction=True)


def build_pool(key: str, stamp: outbox.Stamp) -> spec.PoolSpec:
    return spec.PoolSpec(name=key, epoch=stamp.epoch, generation=stamp.generation)


@pytest.fixture(autouse=True)
def pool_documents(monkeypatch):
    monkeypatch.setitem(outbox.registrations, "pool", outbox.Registration(build_pool))
    publisher.resting_until = 0.0


@pytest.fixture
def redis_client(valkey):
    with redis.Redis.from_url(valkey) as client:
        yield client


def published(client, key="edge"):
    raw = client.hget(spec.DOCUMENTS.format(kind="pool"), key)
    return msgspec.json.decode(raw, type=spec.PoolSpec) if raw else None


def mark(key="edge"):
    with transaction.atomic():
        return outbox.mark("pool", key)


def test_a_change_is_in_redis_when_its_transaction_has_committed(redis_client):
    mark()
    assert published(redis_client).generation == 1
    assert redis_client.xlen(spec.FEED) == 1
    assert not OutboxMark.objects.get(kind="pool").pending


def test_each_change_gets_the_next_generation(redis_client):
    assert [mark(), mark(), mark("other")] == [1, 2, 1]
    assert published(redis_client).generation == 2


def test_what_is_rolled_back_is_neither_numbered_nor_published(redis_client):
    with transaction.atomic():
        outbox.mark("pool", "edge")
        transaction.set_rollback(True)
    assert published(redis_client) is None
    assert not OutboxMark.objects.exists()


def test_a_mark_outside_a_transaction_is_refused(redis_client):
    with pytest.raises(transaction.TransactionManagementError):
        outbox.mark("pool", "edge")


def test_a_change_made_while_redis_is_away_is_published_by_the_sweep(redis_client, settings, short_tmp):
    here, settings.REDIS_URL = settings.REDIS_URL, f"unix://{short_tmp}/nobody.sock"
    mark()
    assert OutboxMark.objects.get(kind="pool").pending
    assert outbox.sweep_outbox().pending == 1, "the sweep says what still waits, and does not raise"
    settings.REDIS_URL = here
    assert outbox.sweep_outbox().pending == 0
    assert published(redis_client).generation == 1


def test_a_redis_that_came_back_empty_gets_everything_again(redis_client):
    mark()
    outbox.sweep_outbox()
    redis_client.flushall()
    outbox.sweep_outbox()
    assert published(redis_client).generation == 1


def test_a_quiet_sweep_writes_nothing(redis_client):
    mark()
    outbox.sweep_outbox()
    before = redis_client.xlen(spec.FEED)
    assert outbox.sweep_outbox().published == 0
    assert redis_client.xlen(spec.FEED) == before


def test_a_change_during_publishing_stays_pending(redis_client, monkeypatch):
    def build_slowly(key, stamp):
        if stamp.generation == 1:
            outbox.next_generation("pool", key)  # someone else commits while this document is on its way
        return build_pool(key, stamp)

    monkeypatch.setitem(outbox.registrations, "pool", outbox.Registration(build_slowly))
    mark()
    assert OutboxMark.objects.get(kind="pool").pending
    outbox.sweep_outbox()
    assert published(redis_client).generation == 2


def test_a_slow_publisher_that_was_overtaken_leaves_the_later_document_alone(redis_client, monkeypatch):
    def build_slowly(key, stamp):
        if stamp.generation == 1:
            mark()  # a second change, made and published by someone else meanwhile
        return build_pool(key, stamp)

    monkeypatch.setitem(outbox.registrations, "pool", outbox.Registration(build_slowly))
    mark()
    assert published(redis_client).generation == 2
    held = OutboxMark.objects.get(kind="pool")
    assert (held.pending, held.error) == (False, "")


def test_one_document_that_cannot_be_built_does_not_hold_up_the_others(redis_client, monkeypatch):
    def build(key, stamp):
        if key == "broken":
            raise ValueError("no such row")
        return build_pool(key, stamp)

    monkeypatch.setitem(outbox.registrations, "pool", outbox.Registration(build))
    mark("broken")
    mark("edge")
    sweep = outbox.sweep_outbox()
    assert (published(redis_client).generation, sweep.failed, sweep.pending) == (1, 1, 1)
    assert "no such row" in OutboxMark.objects.get(key="broken").error


def test_a_restored_backup_says_so_and_is_taken_again_under_a_new_epoch(redis_client):
    mark(), mark(), mark()
    OutboxMark.objects.filter(kind="pool").update(generation=1, pending=True)  # the backup is two changes old
    assert "new_epoch" in " ".join(outbox.sweep_outbox().errors)
    assert published(redis_client).generation == 3
    epoch = outbox.begin_epoch()
    outbox.sweep_outbox()
    assert (published(redis_client).epoch, published(redis_client).generation) == (epoch, 1)


def test_a_document_that_holds_times_is_built_anew_in_time(redis_client, monkeypatch):
    monkeypatch.setitem(outbox.registrations, "pool", outbox.Registration(build_pool, refresh_s=0))
    outbox.sweep_outbox()
    mark()
    outbox.sweep_outbox()
    assert published(redis_client).generation == 2


def test_an_unknown_kind_cannot_be_registered():
    with pytest.raises(ValueError, match="is not a kind of document"):
        outbox.register("poool", build_pool)
