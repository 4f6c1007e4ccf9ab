"""Changes arrive once, in order, never backwards; Redis may come, go, hang or forget."""

import asyncio
import signal
import time

import pytest
import redis
import redis.asyncio

from inference.spec import FEED, FEED_REVISION, encode
from inference.status import LEASE, Endpoints
from inference.sync.documents import Documents, accept_all
from inference.sync.feed import Feed
from inference.sync.files import DocumentFolder
from inference.sync.lease import Lease

asyncio_test = pytest.mark.asyncio


@asyncio_test
async def test_a_change_reaches_every_follower_and_its_disk(valkey, tmp_path, model, following, until):
    async with following(valkey, tmp_path / "a") as writer, following(valkey, tmp_path / "b") as reader:
        await until(lambda: writer.connected and reader.connected)
        assert await writer.publish("spec", "m", model(1))

        await until(lambda: "m" in reader.documents.models)
        assert reader.heard == [("spec", "m")]
        await until(lambda: DocumentFolder(tmp_path / "b").load() == [("spec", "m", model(1))])


@asyncio_test
async def test_redis_refuses_older_documents_and_takes_a_restored_database(valkey, tmp_path, model, following, until):
    async with following(valkey, tmp_path) as feed:
        await until(lambda: feed.connected)
        sent = [await feed.send("spec", "m", document) for document in (model(2), model(1), model(2), model(3))]
        assert sent == [True, False, False, True]

        assert await feed.send("spec", "m", model(1, epoch="e2"))
        await until(lambda: feed.documents.models["m"].epoch == "e2")

        assert await feed.send("endpoints", "p", Endpoints(pool="p", fence=2, revision=1))
        assert not await feed.send("endpoints", "p", Endpoints(pool="p", fence=1, revision=9))
        assert await feed.send("endpoints", "p", Endpoints(pool="p", fence=3, revision=0))


@asyncio_test
async def test_a_controller_whose_place_was_taken_is_refused_before_its_successor_has_written(
    valkey, tmp_path, following, until
):
    client = redis.asyncio.Redis.from_url(valkey)
    async with following(valkey, tmp_path) as feed:
        await until(lambda: feed.connected)
        first, second = Lease(client, "first"), Lease(client, "second")
        assert await first.take()
        assert await feed.send("endpoints", "p", Endpoints(pool="p", fence=first.fence, revision=1))
        await client.delete(LEASE)  # as its expiry would
        assert await second.take()

        assert not await feed.send("endpoints", "p", Endpoints(pool="p", fence=first.fence, revision=2))
        assert not await feed.send("endpoints", "new", Endpoints(pool="new", fence=first.fence, revision=1))
        assert await feed.send("endpoints", "p", Endpoints(pool="p", fence=second.fence, revision=1))
    await client.aclose()


@asyncio_test
async def test_ten_thousand_updates_are_followed_without_going_backwards(valkey, tmp_path, model, following, until):
    async with following(valkey, tmp_path / "r") as reader:
        await until(lambda: reader.connected)
        seen: list[int] = []
        reader.on_change = lambda kind, key: seen.append(reader.documents.models[key].generation)
        writer = Feed(valkey, tmp_path / "w")
        for start in range(1, 10_001, 100):
            await asyncio.gather(*(writer.send("spec", "m", model(n)) for n in range(start, start + 100)))
        await until(lambda: reader.documents.models["m"].generation == 10_000, deadline_s=30)

        assert seen == sorted(set(seen))
        await writer.close()


@asyncio_test
async def test_a_change_among_ten_thousand_models_reads_one_document(valkey, tmp_path, model, following, until):
    with redis.Redis.from_url(valkey) as client:
        client.hset("sy:doc:spec", mapping={f"m{n}": encode(model(1, name=f"m{n}")) for n in range(10_000)})
        async with following(valkey, tmp_path / "r") as reader:
            await until(lambda: len(reader.documents.models) == 10_000 and reader.connected)
            reader.heard.clear()
            before = client.info("commandstats")
            await reader.send("spec", "m7", model(2, name="m7"))
            await until(lambda: reader.documents.models["m7"].generation == 2)
            after = client.info("commandstats")

            assert reader.heard == [("spec", "m7")]
            assert after["cmdstat_hmget"]["calls"] - before.get("cmdstat_hmget", {"calls": 0})["calls"] == 1
            assert after["cmdstat_hscan"]["calls"] == before["cmdstat_hscan"]["calls"]


def test_taking_one_change_among_ten_thousand_models_takes_under_two_milliseconds(model):
    documents, _ = accept_all(Documents(), [("spec", f"m{n}", model(1, name=f"m{n}")) for n in range(10_000)])

    def take() -> float:
        start = time.perf_counter()
        accept_all(documents, [("spec", "m7", model(2, name="m7"))])
        return time.perf_counter() - start

    assert min(take() for _ in range(20)) < 0.002


@asyncio_test
async def test_a_gap_in_the_stream_is_read_over(valkey, tmp_path, model, following, until):
    with redis.Redis.from_url(valkey) as client:
        async with following(valkey, tmp_path) as feed:
            await until(lambda: feed.connected)
            # A change whose stream entry was trimmed before we came to it.
            client.hset("sy:doc:spec", "missed", encode(model(1, name="missed")))
            client.incr(FEED_REVISION)
            await feed.send("spec", "m", model(1))

            await until(lambda: {"m", "missed"} <= set(feed.documents.models))
            await until(lambda: feed.revision == 2)


@asyncio_test
@pytest.mark.parametrize("entry", [{"a": "b"}, {"kind": b"\xff", "key": "m", "revision": "1"}, {"revision": "nan"}])
async def test_an_entry_that_nobody_of_ours_wrote_is_read_over(valkey, tmp_path, model, following, until, entry):
    with redis.Redis.from_url(valkey) as client:
        async with following(valkey, tmp_path) as feed:
            await until(lambda: feed.connected)
            client.xadd(FEED, entry)
            await feed.send("spec", "m", model(1))
            await until(lambda: "m" in feed.documents.models)


@asyncio_test
async def test_a_redis_that_forgot_everything_takes_nothing_away(valkey, tmp_path, model, following, until):
    with redis.Redis.from_url(valkey) as client:
        async with following(valkey, tmp_path) as feed:
            await until(lambda: feed.connected)
            for n in range(1, 6):
                await feed.send("spec", "m", model(n))
            await until(lambda: feed.revision == 5)
            client.flushall()
            await feed.send("spec", "other", model(1, name="other"))

            await until(lambda: "other" in feed.documents.models)
            assert feed.documents.models["m"].generation == 5


@asyncio_test
async def test_an_unreadable_document_changes_nothing_and_the_feed_goes_on(valkey, tmp_path, model, following, until):
    with redis.Redis.from_url(valkey) as client:
        async with following(valkey, tmp_path) as feed:
            await until(lambda: feed.connected)
            await feed.send("spec", "m", model(1))
            await until(lambda: "m" in feed.documents.models)
            client.hset("sy:doc:spec", "m", b"not a document")
            client.xadd(FEED, {"kind": "spec", "key": "m", "revision": client.incr(FEED_REVISION)})
            await feed.send("spec", "n", model(1, name="n"))

            await until(lambda: "n" in feed.documents.models)
            assert feed.documents.models["m"] == model(1)
            assert await feed.send("spec", "m", model(2)), "a good document replaces the unreadable one"


@asyncio_test
async def test_it_starts_without_redis_and_reconnects_when_it_comes_and_after_a_restart(
    short_tmp, valkey_at, model, following, until
):
    DocumentFolder(short_tmp / "documents").write("spec", "m", model(1))
    url = f"unix://{short_tmp}/valkey.sock"
    async with following(url, short_tmp / "documents") as feed:
        assert feed.documents.models["m"] == model(1)
        assert await feed.publish("endpoints", "p", Endpoints(pool="p", fence=1, revision=1))
        assert not feed.connected

        for turn in (1, 2):
            with valkey_at(short_tmp):
                await until(lambda: feed.connected)
                with redis.Redis.from_url(url) as client:
                    if turn == 1:
                        await until(lambda client=client: client.hget("sy:doc:endpoints", "p"), why="published later")
                await feed.publish("spec", "m", model(turn + 1))
                await until(lambda turn=turn: feed.documents.models["m"].generation == turn + 1)
            await until(lambda: not feed.connected)
        assert feed.documents.models["m"].generation == 3


@asyncio_test
async def test_while_redis_hangs_programs_of_a_node_hear_each_other_through_the_folder(
    short_tmp, valkey_at, model, following, until
):
    with valkey_at(short_tmp) as server:
        url = f"unix://{short_tmp}/valkey.sock"
        async with (
            following(url, short_tmp / "documents") as controller,
            following(url, short_tmp / "documents") as gateway,
        ):
            await until(lambda: controller.connected and gateway.connected)
            server.send_signal(signal.SIGSTOP)
            try:
                await until(lambda: not gateway.connected, why="a hung server counts as away")
                await controller.publish("endpoints", "p", Endpoints(pool="p", fence=1, revision=1))
                await until(lambda: "p" in gateway.documents.endpoints)
            finally:
                server.send_signal(signal.SIGCONT)
            await until(lambda: controller.connected and gateway.connected)


@asyncio_test
async def test_without_redis_the_folder_alone_carries_changes(tmp_path, model, following, until):
    async with following("", tmp_path) as feed:
        start = time.monotonic()
        DocumentFolder(tmp_path).write("spec", "m", model(1))
        await until(lambda: feed.heard == [("spec", "m")])
        assert time.monotonic() - start < 1.0
        assert feed.documents.models["m"] == model(1)


@asyncio_test
async def test_a_disk_that_takes_nothing_stops_neither_a_start_nor_a_change(valkey, tmp_path, model, following, until):
    (tmp_path / "documents").write_text("a file where the folder should be")
    async with following(valkey, tmp_path / "documents") as feed:
        await until(lambda: feed.connected)
        assert await feed.publish("spec", "m", model(2))
        assert not await feed.publish("spec", "m", model(1))

        async with following(valkey, tmp_path / "other") as other:
            await until(lambda: other.documents.models.get("m") == model(2))
