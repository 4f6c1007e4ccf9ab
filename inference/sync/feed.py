"""The change feed: documents out of Redis hashes, told of by a bounded stream with revisions.

Each write is one script (`spec.PUBLISH`): compare, set, raise the revision, add (kind, key, revision) to the stream.
A follower re-reads only what the stream names, so a change costs the same among ten models and ten thousand. A revision
that is not the next one is a gap (the stream was trimmed, or Redis came back empty): everything is read again. Since
the hash always holds the newest document, order never matters and nothing goes backwards.

While Redis is away the folder is followed instead: programs of one node still hear each other through it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from redis.asyncio import Redis

from inference.errors import BadDocument
from inference.log import get_log
from inference.spec import DOCUMENTS, FEED, FEED_LENGTH, FEED_REVISION, PUBLISH, Document, encode
from inference.status import FENCE
from inference.sync.connect import AWAY, BLOCK_S, connect, connect_blocking, next_backoff, still_wanted, text_of
from inference.sync.documents import KINDS, Change, Documents, accept_all, generations_of, is_newer, read_document
from inference.sync.files import DocumentFolder

log = get_log()

POLL_S = 0.2  # of the folder
MAX_ENTRIES = 1_000  # of the stream, in one read
READ_CHUNK = 50  # documents decoded and accepted in one turn of the loop: about 2 ms, in which nobody is answered
WRITE_CHUNK = 100  # files in one trip to the writing thread
LAST_CHUNK = 500  # files written while stopping

Item = TypeVar("Item")
OnChange = Callable[[str, str], None]


class Gap(Exception):
    """The stream no longer says all that changed since we last looked."""


class Feed:
    """The documents in force on this node (`documents`, one reference), kept up by `run`."""

    def __init__(self, redis_url: str, folder: Path):
        self.redis_url = redis_url
        self.store = DocumentFolder(folder)
        self.documents = Documents()
        self.generations: dict[str, tuple[str, int]] = {}  # as `Documents.generations`, kept up change by change
        self.connected = False
        self.revision = 0
        self.unsaved: dict[tuple[str, str], Document] = {}
        self.unpublished: dict[tuple[str, str], Document] = {}
        self.on_change: OnChange | None = None
        self.wake_saver = asyncio.Event()
        self.wake_sender = asyncio.Event()
        self.calls: Redis | None = connect(redis_url) if redis_url else None

    def load(self) -> None:
        """Start from the last good copy on disk."""
        self.documents, _ = accept_all(self.documents, self.store.load())
        self.generations = self.documents.generations()

    async def run(self, on_change: OnChange) -> None:
        """Follow until cancelled; `on_change(kind, key)` is called after `documents` holds the change."""
        self.on_change = on_change
        if not self.redis_url:
            await self.follow_folder(float("inf"))
            return
        helpers = [
            asyncio.create_task(self.save_forever(), name="feed-saver"),
            asyncio.create_task(self.send_forever(), name="feed-sender"),
        ]
        pause_s = 0.0
        try:
            while True:
                try:
                    await self.follow_redis()
                except AWAY as error:
                    if self.connected or not pause_s:
                        log.warning("feed_away", error=str(error) or type(error).__name__, revision=self.revision)
                    pause_s = next_backoff(0.0 if self.connected else pause_s)
                    self.connected = False
                    await self.follow_folder(pause_s)
        finally:
            self.connected = False
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self.close()

    async def close(self) -> None:
        """Write what is not on disk yet, within reason, and hang up. Redis still has the rest at the next start."""
        await asyncio.to_thread(self.save, self.take_unsaved(LAST_CHUNK))
        if self.calls is not None:
            with contextlib.suppress(*AWAY):
                await self.calls.aclose()

    # Redis

    async def follow_redis(self) -> None:
        async with connect_blocking(self.redis_url) as client:
            while True:
                last_id = await self.read_all(client)
                if not self.connected:
                    log.info("feed_connected", revision=self.revision, models=len(self.documents.models))
                self.connected = True
                self.wake_sender.set()
                with contextlib.suppress(Gap):
                    await self.follow_stream(client, last_id)
                log.info("feed_gap", revision=self.revision)

    async def read_all(self, client: Redis) -> bytes:
        """Read every document; answers the stream's place from before, so that what comes meanwhile is read again."""
        pipe = client.pipeline(transaction=True)
        pipe.get(FEED_REVISION)
        pipe.xrevrange(FEED, count=1)
        revision, newest = await pipe.execute()
        for kind in KINDS:
            cursor = 0
            while True:
                still_wanted()
                cursor, page = await client.hscan(DOCUMENTS.format(kind=kind), cursor, count=READ_CHUNK)
                self.take((kind, text_of(key), raw) for key, raw in page.items())  # type: ignore[union-attr]
                if cursor == 0:
                    break
        self.revision = int(revision or 0)
        return newest[0][0] if newest else b"0"

    async def follow_stream(self, client: Redis, last_id: bytes) -> None:
        while True:
            still_wanted()
            answer = await client.xread({FEED: last_id}, count=MAX_ENTRIES, block=int(BLOCK_S * 1000))
            entries = entries_of(answer)
            if not entries:
                continue
            changed: dict[str, list[str]] = {}
            for entry_id, fields in entries:
                revision, kind, key = read_entry(fields)
                if revision != self.revision + 1:
                    raise Gap
                self.revision, last_id = revision, entry_id
                changed.setdefault(kind, []).append(key)
            for kind, keys in changed.items():
                names = list(dict.fromkeys(keys))
                for some in chunks_of(names):
                    raws = await client.hmget(DOCUMENTS.format(kind=kind), some)
                    self.take((kind, key, raw) for key, raw in zip(some, raws, strict=True) if raw is not None)

    def take(self, raws: Iterable[tuple[str, str, bytes | str]]) -> None:
        """Accept what is newer. An unreadable document changes nothing: what is in force stays in force."""
        changes: list[Change] = []
        for kind, key, raw in raws:
            try:
                changes.append((kind, key, read_document(kind, key, raw)))
            except BadDocument as error:
                log.error("document_refused", kind=kind, key=key, error=str(error))
        for kind, key, document in self.accept(changes):
            self.unsaved[kind, key] = document
        if self.unsaved:
            self.wake_saver.set()

    def accept(self, changes: Iterable[Change]) -> list[Change]:
        self.documents, taken = accept_all(self.documents, changes)
        self.generations.update(generations_of(taken))
        if self.on_change is not None:
            for kind, key, _ in taken:
                self.on_change(kind, key)
        return taken

    # Publishing

    async def publish(self, kind: str, key: str, document: Document) -> bool:
        """Put a document of ours in force: here and on disk now, in Redis as soon as it can be reached.

        Disk comes first: the node's gateways hear of a lost worker even while Redis is away, and nobody waits for a
        Redis that hangs. False when a newer one stands already. What Redis refuses as too old is undone by the newer
        document that the feed then brings.
        """
        if not await asyncio.to_thread(self.keep, kind, key, document):
            return False
        self.accept([(kind, key, document)])
        if self.calls is not None:
            self.unpublished[kind, key] = document
            self.wake_sender.set()
        return True

    def keep(self, kind: str, key: str, document: Document) -> bool:
        """Write the last good copy. A full disk must not stop what can still reach Redis and this program."""
        try:
            return self.store.write(kind, key, document)
        except OSError as error:
            log.error("document_not_saved", kind=kind, key=key, error=str(error))
            return is_newer(kind, document, self.documents.find(kind, key))

    async def send_forever(self) -> None:
        while True:
            still_wanted()
            await self.wake_sender.wait()
            self.wake_sender.clear()
            try:
                for (kind, key), document in list(self.unpublished.items()):
                    await self.send(kind, key, document)
            except AWAY as error:
                # Tried again when the feed has reconnected, and with the next document.
                log.warning("publishing_waits", waiting=len(self.unpublished), error=str(error) or type(error).__name__)

    async def send(self, kind: str, key: str, document: Document) -> bool:
        if self.calls is None:
            return False
        places = [DOCUMENTS.format(kind=kind), FEED, FEED_REVISION]
        if hasattr(document, "fence"):
            places.append(FENCE)
        revision = await self.calls.eval(PUBLISH, len(places), *places, kind, key, encode(document), FEED_LENGTH)
        if self.unpublished.get((kind, key)) is document:
            del self.unpublished[kind, key]
        return bool(revision)

    # Disk

    async def follow_folder(self, for_s: float) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + for_s
        while (left_s := end_s - loop.time()) > 0:
            await asyncio.sleep(min(POLL_S, left_s))
            for some in chunks_of(await asyncio.to_thread(self.store.changes)):
                self.accept(some)
                await asyncio.sleep(0)

    async def save_forever(self) -> None:
        """Write accepted documents in a thread: an fsync must not hold up the loop. Only the newest of each waits."""
        while True:
            await self.wake_saver.wait()
            self.wake_saver.clear()
            while self.unsaved:
                await asyncio.to_thread(self.save, self.take_unsaved(WRITE_CHUNK))

    def take_unsaved(self, count: int) -> list[Change]:
        taken = []
        for kind, key in list(self.unsaved)[:count]:
            taken.append((kind, key, self.unsaved.pop((kind, key))))
        return taken

    def save(self, changes: list[Change]) -> None:
        for kind, key, document in changes:
            self.keep(kind, key, document)


def chunks_of(many: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (many[start : start + READ_CHUNK] for start in range(0, len(many), READ_CHUNK))


def read_entry(fields: dict[bytes, bytes]) -> tuple[int, str, str]:
    """Revision, kind and key. What nobody of ours wrote tells nothing of what changed: raises Gap."""
    try:
        return int(fields[b"revision"]), fields[b"kind"].decode(), fields[b"key"].decode()
    except (KeyError, ValueError):
        raise Gap from None


def entries_of(answer: object) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of our one stream: a dict of lists of pages in RESP3, a list of pairs in RESP2."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [entry for page in answer[FEED.encode()] for entry in page]
    return answer[0][1]  # type: ignore[index]
