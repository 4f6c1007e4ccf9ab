"""The way of a document into Redis: one compare-and-set script, bounded time, a rest after a failure."""

import time
from typing import Any, NamedTuple

import msgspec
import redis
from django.conf import settings

from inference import spec

TIMEOUT_S = 1.0
REST_S = 1.0  # after a failure, on-commit publishing does not try: a request must not wait for an absent Redis
CLAIM = "sy:outbox:epoch"  # whose documents lie here; gone when Redis was emptied


class PublishFailed(Exception):
    """The document is not in Redis; its mark stays pending."""


class RedisAway(PublishFailed):
    pass


class LaterOneThere(PublishFailed):
    pass


class Published(NamedTuple):
    revision: int


class Seen(NamedTuple):
    epoch: str
    revision: int


class Publisher:
    """Holds the connection of this process. Thread-safe: redis-py's pool is, and the rest is one float."""

    def __init__(self) -> None:
        self.clients: dict[str, redis.Redis] = {}
        self.resting_until = 0.0

    def client(self) -> redis.Redis:
        """By URL, so a test's settings get their own."""
        url = settings.REDIS_URL
        if url not in self.clients:
            self.clients[url] = redis.Redis.from_url(
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, max_connections=16
            )
        return self.clients[url]

    def is_resting(self) -> bool:
        return time.monotonic() < self.resting_until

    def publish(self, kind: str, key: str, document: spec.Document, stamp: tuple[str, int]) -> Published:
        hashed = spec.DOCUMENTS.format(kind=kind)
        try:
            places = (hashed, spec.FEED, spec.FEED_REVISION)
            offered = (kind, key, spec.encode(document), spec.FEED_LENGTH)
            revision = self.client().eval(spec.PUBLISH, len(places), *places, *offered)
            held = None if revision else self.client().hget(hashed, key)
        except redis.RedisError as error:
            self.resting_until = time.monotonic() + REST_S
            raise RedisAway(f"Redis did not take {kind}/{key}: {error}") from error
        if held is not None and read_stamp(held) != stamp:
            raise LaterOneThere(
                f"Redis holds a later {kind}/{key} than generation {stamp[1]} of this database. If the database was "
                "restored from a backup, run 'manage.py new_epoch'."
            )
        return Published(revision=int(revision))

    def look(self) -> Seen:
        try:
            found: list[Any] = self.client().mget(CLAIM, spec.FEED_REVISION)
        except redis.RedisError as error:
            self.resting_until = time.monotonic() + REST_S
            raise RedisAway(f"Redis does not answer: {error}") from error
        epoch, revision = found
        return Seen((epoch or b"").decode(), int(revision or 0))

    def claim(self, epoch: str) -> None:
        try:
            self.client().set(CLAIM, epoch)
        except redis.RedisError as error:
            raise RedisAway(f"Redis does not answer: {error}") from error


def read_stamp(raw: bytes | str) -> tuple[str, int]:
    held = msgspec.json.decode(raw)
    return held.get("epoch", ""), held.get("generation", 0)


publisher = Publisher()
