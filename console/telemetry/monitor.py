"""The monitor: reads what the data plane reports, keeps the rings, writes history, shows it live.

Five loops share one event loop and one database thread. Each goes on by itself when Redis or the database comes back.
A second monitor stands by: it fills its rings too, and writes and shows nothing until the lease is its own.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from channels.db import database_sync_to_async
from channels.layers import BaseChannelLayer
from redis import asyncio as aioredis

from console.lib import outbox
from console.lib.errors import Invalid
from console.lib.ids import new_ulid
from console.telemetry import frames, live, rollups
from console.telemetry.events import decode_event, event_data, last_event_id, record_events
from console.telemetry.retention import delete_old
from console.telemetry.rings import Rings, WorkerRings
from console.telemetry.series import check
from inference.log import get_log
from inference.status import EVENTS, TELEMETRY, TELEMETRY_LENGTH, WORKERS, Event, TelemetrySecond, WorkerStatus

log = get_log()

READ_COUNT = 500
BLOCK_MS = 1_000
BEAT_AT_S = 0.35  # after the full second: by then gateways have reported the one before
LEASE_MS = 3_000
BACKOFF_S = (0.2, 5.0)
FLUSH_BUCKETS = 30  # a transaction
RETENTION_EVERY_S = 3_600
MAX_EVENTS = 2_000
HOLD = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end
return redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
decode_second = msgspec.json.Decoder(TelemetrySecond).decode


class Raw(NamedTuple):
    """A report that waits for its row, undecoded: a tenth of the memory."""

    id: str
    second: int
    body: bytes


class Monitor:
    def __init__(self, redis: aioredis.Redis, layer: BaseChannelLayer):
        self.redis: Any = redis  # its annotations mix the answers of two protocols, text and bytes
        self.layer = layer
        self.id = new_ulid()
        self.rings, self.readings = Rings(), WorkerRings()
        self.samples, self.sparks = rollups.WorkerSamples(), frames.Sparklines()
        self.cursors = {TELEMETRY: "0-0", EVENTS: "0-0"}
        self.pending: deque[Raw] = deque()
        self.pending_events: deque[tuple[str, Event]] = deque(maxlen=MAX_EVENTS)
        self.lost = 0  # reports that fell out of `pending` while the database was away
        self.leads = False
        self.caught_up = asyncio.Event()
        self.shown_through = 0
        self.shown_models: set[str] = set()
        self.answers: dict[Any, bytes] = {}  # of this second: many tabs ask the same
        self.next_retention_s = time.time() + 60

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then write what is still in hand."""
        loops = {
            "follow": self.follow, "beat": self.beat, "answer": self.answer, "write": self.write, "sweep": self.sweep,
        }  # fmt: skip
        tasks = [asyncio.create_task(self.forever(name, once), name=name) for name, once in loops.items()]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.leads:
            await self.flush(everything=True)
            await self.redis.delete(live.LEASE)

    async def forever(self, name: str, once: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step; when it fails, say so once, wait longer each time, and go on."""
        wait_s, failing = BACKOFF_S[0], False
        while True:
            still_wanted()
            try:
                await once()
            except live.AWAY as error:
                if not failing:
                    log.warning("redis_away", loop=name, error=str(error) or type(error).__name__)
            except Exception:
                log.exception("monitor_step_failed", loop=name)
            else:
                if failing:
                    log.info("monitor_step_works_again", loop=name)
                wait_s, failing = BACKOFF_S[0], False
                continue
            failing = True
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, BACKOFF_S[1])

    # Reading

    async def follow(self) -> None:
        """Read on in both streams. A Redis that came back empty numbers by its clock, so ids are later all the same."""
        if self.cursors[EVENTS] == "0-0":
            self.cursors[EVENTS] = await database_sync_to_async(last_event_id)()
        block = BLOCK_MS if self.caught_up.is_set() else None
        taken = await live.read_streams(self.redis, self.cursors, READ_COUNT, block)
        for name, stream_id, body in taken:
            try:
                if name == TELEMETRY:
                    self.take_report(stream_id, body)
                else:
                    self.pending_events.append((stream_id, decode_event(body)))
            except msgspec.MsgspecError as error:
                log.warning("report_unreadable", stream=name, id=stream_id, error=str(error))
            self.cursors[name] = stream_id
        if len(taken) < READ_COUNT and not self.caught_up.is_set():
            self.rings.take_changed()  # history is no news
            self.caught_up.set()
            log.info("monitor_ready", seconds=len(self.rings.seconds), waiting=len(self.pending))

    def take_report(self, stream_id: str, body: bytes) -> None:
        report = decode_second(body)
        if not self.rings.add(report, time.time()):
            return
        if len(self.pending) >= TELEMETRY_LENGTH:
            self.pending.popleft()
            self.lost += 1
        self.pending.append(Raw(stream_id, report.second, body))

    # Showing

    async def beat(self) -> None:
        """Once a second: what is so, computed once, for everyone who looks."""
        await self.caught_up.wait()
        await asyncio.sleep(until_beat(time.time()))
        self.leads = bool(await self.redis.eval(HOLD, 1, live.LEASE, self.id, LEASE_MS))
        now_s = time.time()
        through = int(now_s - BEAT_AT_S) - 1
        workers = live.decode_workers(await self.redis.hgetall(WORKERS))
        reporting = [worker for worker in workers if now_s - worker.at_s < frames.LOST_AFTER_S]
        self.readings.add(through, reporting)
        self.rings.forget(now_s)
        self.readings.forget(now_s)
        self.answers.clear()
        changed = self.rings.take_changed()
        self.sparks.drop(changed)
        if self.leads:
            self.samples.add(through, reporting)
            await self.show(workers, changed, through, now_s)

    async def show(self, workers: list[WorkerStatus], changed: set[int], through: int, now_s: float) -> None:
        self.sparks.update(self.rings, self.readings, through)
        states: dict[str, dict[str, Any]] = {
            live.MONITOR: {},
            "overview": frames.overview_state(self.rings, self.readings, workers, self.sparks, through, now_s),
            "workers": frames.workers_state(workers, now_s),
        }
        models = frames.model_states(self.rings, through)
        states |= {f"model:{name}": state for name, state in models.items()}
        fields = {
            channel: msgspec.json.encode(
                live.State(now_s, through, self.id, state, self.sparks.lines() if channel == "overview" else {})
            )
            for channel, state in states.items()
        }
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.hset(live.LIVE, mapping=fields)
            if gone := self.shown_models - set(models):
                pipe.hdel(live.LIVE, *(f"model:{name}" for name in gone))
            await pipe.execute()
        for name in self.shown_models - set(models):
            await self.send(f"model:{name}", {"type": "live.state", "t": through, "s": {}})
        self.shown_models = set(models)
        for channel, state in states.items():
            if channel != live.MONITOR:
                await self.send(channel, {"type": "live.state", "t": through, "s": state})
        await self.send("metrics", self.metrics_message(changed, through))

    def metrics_message(self, changed: set[int], through: int) -> dict[str, Any]:
        """`t0`..`t` are the seconds it newly covers; a client that had not all before `t0` takes a new snapshot.

        So it does after seconds further back have changed, which is a gateway that caught up.
        """
        oldest = through - frames.MAX_LATE
        first = max(min(self.shown_through + 1, through), oldest)
        if any(second < oldest for second in changed):
            first = through + 1
        self.shown_through = through
        fresh = {second for second in changed if second >= oldest} | set(range(first, through))
        points = frames.metric_points(self.rings, self.readings, fresh, through)
        return {"type": "live.points", "t0": first, "t": through, "points": points}

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self.layer.group_send(live.group_of_channel(channel), message | {"ch": channel})

    async def answer(self) -> None:
        """Answer questions about the rings; one that waited too long has nobody waiting for it any more."""
        if not (self.leads and self.shown_through):
            await asyncio.sleep(0.1)
            return
        asked = await self.redis.blpop([live.ASKED], timeout=live.ANSWER_WITHIN_S)
        if asked is None:
            return
        try:
            question = live.decode_question(asked[1])
            if time.time() - question.asked_at_s > live.ANSWER_WITHIN_S:
                return
            if question.query not in self.answers:
                answer = frames.answer_from(self.rings, self.readings, check(question.query))
                answer.through = self.shown_through  # frames after that one are news to whoever asks
                self.answers[question.query] = msgspec.json.encode(answer)
        except (msgspec.MsgspecError, Invalid) as error:
            log.warning("question_unreadable", error=str(error))
            return
        key = live.ANSWER.format(id=question.id)
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.rpush(key, self.answers[question.query])
            pipe.expire(key, 10)
            await pipe.execute()

    # Writing

    async def write(self) -> None:
        """Each second: rows of buckets that ended, events; each hour: let old rows go."""
        await asyncio.sleep(1.0)
        if not self.leads:
            return
        await self.flush(everything=False)
        if self.lost:
            log.warning("reports_lost", count=self.lost, why="the database was away for too long")
            self.lost = 0
        if time.time() >= self.next_retention_s:
            self.next_retention_s = time.time() + RETENTION_EVERY_S
            if gone := await database_sync_to_async(delete_old)(time.time()):
                log.info("history_deleted", rows=gone)

    async def flush(self, *, everything: bool) -> None:
        await self.write_events()
        while chunk := self.next_chunk(time.time(), everything=everything):
            entries = [rollups.Entry(raw.id, decode_second(raw.body)) for raw in chunk]
            await database_sync_to_async(rollups.add_reports)(entries)
            written = set(chunk)
            self.pending = deque(raw for raw in self.pending if raw not in written)
        rows = self.samples.take()
        if not rows:
            return
        try:
            await database_sync_to_async(rollups.add_worker_samples)(rows)
        except BaseException:
            self.samples.put_back(rows)
            raise

    def next_chunk(self, now_s: float, *, everything: bool) -> list[Raw]:
        """Reports of some buckets that have ended and had their grace; of any bucket when we stop."""
        ended = now_s - rollups.GRACE_S
        ready = [raw for raw in self.pending if everything or rollups.bucket_of(raw.second) + rollups.FINE_S <= ended]
        buckets = sorted({rollups.bucket_of(raw.second) for raw in ready})[:FLUSH_BUCKETS]
        return [raw for raw in ready if rollups.bucket_of(raw.second) in set(buckets)]

    async def write_events(self) -> None:
        read = list(self.pending_events)
        if not read:
            return
        fresh = await database_sync_to_async(record_events)(read)
        for _ in read:
            self.pending_events.popleft()
        for event in fresh:
            await self.send("events", {"type": "live.event", "event": event_data(event)})

    async def sweep(self) -> None:
        await asyncio.sleep(1.0)
        if self.leads:
            await database_sync_to_async(outbox.sweep_outbox)()


def still_wanted() -> None:
    """Raise CancelledError in a task that was cancelled: `asyncio.wait_for` of 3.11, in redis-py, can lose that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def until_beat(now_s: float) -> float:
    """Seconds until the next full second plus BEAT_AT_S."""
    return 1.0 - (now_s - BEAT_AT_S) % 1.0
