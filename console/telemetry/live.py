"""What the monitor leaves in Redis for web processes, and how they ask it: every name and every bound in one place.

- `LIVE`, a hash: the newest state of each channel whose state is small (overview, workers, model:NAME). One HGET is a
  snapshot.
- `ASKED`, a list: queries on the rings, answered on a list of the question's own. Bounded, short-lived: a question
  nobody can answer in time is dropped, and the asker reads the roll-ups instead.
"""

import asyncio
import contextlib
import functools
import time
from typing import Any, NamedTuple

import msgspec
import redis
from django.conf import settings
from msgspec import Struct
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from console.lib.ids import new_ulid
from console.telemetry.series import Answer, Query
from inference.status import WORKERS, WorkerStatus

LIVE = "sy:live"
ASKED = "sy:monitor:asked"
ANSWER = "sy:monitor:answer:{id}"
LEASE = "sy:lease:monitor"
MONITOR = "monitor"  # the field of LIVE that is its heartbeat
MAX_ASKED = 64
ANSWER_WITHIN_S = 2  # Redis takes whole seconds here; below redis-py's own socket timeout
STALE_S = 5.0  # a state older than this comes from a monitor that is away
GROUP = "live.{channel}"  # of the channel layer


class State(Struct):
    """The newest state of one channel, flat so that a delta is the keys that changed."""

    at_s: float
    through: int  # newest second in it
    epoch: str  # of the monitor's life
    s: dict[str, Any]
    lines: dict[str, Any] = {}  # arrays for sparklines, only in snapshots

    def is_fresh(self, now_s: float | None = None) -> bool:
        return (time.time() if now_s is None else now_s) - self.at_s < STALE_S


class Question(Struct):
    id: str
    asked_at_s: float
    query: Query


class StreamEntry(NamedTuple):
    stream: str
    id: str
    body: bytes


decode_state = msgspec.json.Decoder(State).decode
decode_answer = msgspec.json.Decoder(Answer).decode
decode_worker = msgspec.json.Decoder(WorkerStatus).decode
decode_question = msgspec.json.Decoder(Question).decode
AWAY = (redis.RedisError, OSError, asyncio.TimeoutError)


def group_of_channel(channel: str) -> str:
    """Channel-layer groups allow letters, digits, hyphens, underscores and periods."""
    return GROUP.format(channel=channel.replace(":", "."))


def group_of_person(pk: int | None) -> str:
    return GROUP.format(channel=f"person.{pk}")


@functools.cache
def client_of(url: str) -> redis.Redis:
    """One pool a process and URL; thread-safe. An answer may take as long as we wait for one, and no longer."""
    return redis.Redis.from_url(
        url, socket_timeout=ANSWER_WITHIN_S + 1, socket_connect_timeout=1, max_connections=MAX_ASKED
    )


def read_state(channel: str) -> State | None:
    """The newest state of a channel, or None where Redis or the monitor never gave one."""
    with contextlib.suppress(*AWAY):
        raw = client_of(settings.REDIS_URL).hget(LIVE, channel)
        return decode_state(raw) if raw else None
    return None


def ask(query: Query) -> Answer | None:
    """Ask the rings; None where the monitor is away or too busy to answer in time."""
    heartbeat = read_state(MONITOR)
    if heartbeat is None or not heartbeat.is_fresh():
        return None
    with contextlib.suppress(*AWAY):
        client = client_of(settings.REDIS_URL)
        if client.llen(ASKED) >= MAX_ASKED:
            return None
        question = Question(new_ulid(), time.time(), query)
        client.rpush(ASKED, msgspec.json.encode(question))
        answered = client.blpop([ANSWER.format(id=question.id)], timeout=ANSWER_WITHIN_S)
        return decode_answer(answered[1]) if answered else None
    return None


def read_workers() -> list[WorkerStatus]:
    """Every worker's newest report, by replica. Raises RedisError: the caller says what to show instead."""
    return decode_workers(client_of(settings.REDIS_URL).hgetall(WORKERS))


def decode_workers(raw: dict[Any, Any]) -> list[WorkerStatus]:
    """A report that this release cannot read is left out: one odd worker must not blind the page."""
    workers = []
    for value in raw.values():
        with contextlib.suppress(msgspec.MsgspecError):
            workers.append(decode_worker(value))
    return sorted(workers, key=lambda worker: worker.replica)


def monitor_client() -> aioredis.Redis:
    """For the monitor: its blocking reads last up to 2 s, so no command is given up before that. Its loops retry."""
    return aioredis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
    )


async def read_streams(client: Any, cursors: dict[str, str], count: int, block_ms: int | None) -> list[StreamEntry]:
    """What comes after the cursors, in the order of each stream."""
    read = await client.xread(cursors, count=count, block=block_ms) or {}
    # RESP3 answers {name: [entries]}, RESP2 [[name, entries]].
    streams = [(name, found[0]) for name, found in read.items()] if isinstance(read, dict) else read
    return [
        StreamEntry(name.decode(), stream_id.decode(), fields.get(b"d", b""))
        for name, entries in streams
        for stream_id, fields in entries
    ]
