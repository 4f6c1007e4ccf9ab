"""Reports to Redis: what is so, newest wins. Reporting never raises, never waits and never grows without bound.

One pipeline a second. What cannot be sent waits in small buffers; what falls out of them is counted, and the count is
reported with the next second that arrives.
"""

import asyncio
import contextlib
from collections import deque

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from inference.log import get_log
from inference.spec import Document, encode
from inference.status import (
    CONTROLLER,
    EVENTS,
    EVENTS_LENGTH,
    GATEWAYS,
    TELEMETRY,
    TELEMETRY_LENGTH,
    WORKERS,
    ControllerStatus,
    Event,
    GatewayStatus,
    TelemetrySecond,
    WorkerStatus,
)
from inference.sync.connect import AWAY, connect, still_wanted, text_of

log = get_log()

PERIOD_S = 1.0
MIN_PERIOD_S = 0.2
MAX_SECONDS = 30  # of telemetry, kept while Redis is away
MAX_EVENTS = 200
MAX_STATUSES = 4_096
EXPIRE_S = 3_600  # a status nobody renews is forgotten; readers judge freshness by `at_s` long before


class Reporter:
    """`run` sends; all other methods only put down what is to be sent. With an empty URL nothing is kept or sent."""

    def __init__(self, redis_url: str):
        self.client = connect(redis_url) if redis_url else None
        self.seconds: deque[TelemetrySecond] = deque()
        self.events: deque[Event] = deque()
        self.statuses: dict[tuple[str, str], Document] = {}
        self.forgotten: set[str] = set()
        self.dropped_seconds = 0
        self.dropped_events = 0
        self.dropped_statuses = 0
        self.wake = asyncio.Event()
        self.away = False
        self.refused = False

    def telemetry(self, second: TelemetrySecond) -> None:
        """Sent at once: a person may be watching."""
        if self.client is None:
            return
        if len(self.seconds) >= MAX_SECONDS:
            self.seconds.popleft()
            self.dropped_seconds += 1
        self.seconds.append(second)
        self.wake.set()

    def event(self, event: Event) -> None:
        if self.client is None:
            return
        if len(self.events) >= MAX_EVENTS:
            self.events.popleft()
            self.dropped_events += 1
        self.events.append(event)
        self.wake.set()

    def gateway(self, status: GatewayStatus) -> None:
        self.put(GATEWAYS, status.id, status)

    def worker(self, status: WorkerStatus) -> None:
        self.forgotten.discard(status.replica)
        self.put(WORKERS, status.replica, status)

    def controller(self, status: ControllerStatus) -> None:
        self.put(CONTROLLER, status.id, status)

    def forget_worker(self, replica: str) -> None:
        """The replica is gone for good; its row goes too."""
        if self.client is None:
            return
        self.statuses.pop((WORKERS, replica), None)
        if len(self.forgotten) < MAX_STATUSES:
            self.forgotten.add(replica)

    def put(self, name: str, field: str, status: Document) -> None:
        if self.client is None:
            return
        if (name, field) not in self.statuses and len(self.statuses) >= MAX_STATUSES:
            self.dropped_statuses += 1
            return
        self.statuses[name, field] = status

    async def run(self) -> None:
        """Send until cancelled."""
        if self.client is None:
            await asyncio.Event().wait()
        while True:
            still_wanted()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self.wake.wait()
            self.wake.clear()
            await self.flush()
            await asyncio.sleep(MIN_PERIOD_S)

    async def flush(self) -> bool:
        """Send all that waits; False when it could not be sent and waits on."""
        if self.client is None or not (self.seconds or self.events or self.statuses or self.forgotten):
            return True
        seconds, events, statuses, forgotten = (
            list(self.seconds), list(self.events), dict(self.statuses), list(self.forgotten),
        )  # fmt: skip
        try:
            await self.send(self.client, seconds, events, statuses, forgotten)
        except AWAY as error:
            if not self.away:
                log.warning("reports_wait", error=str(error) or type(error).__name__)
            self.away = True
            return False
        if self.away:
            log.info("reports_resumed", dropped_seconds=self.dropped_seconds, dropped_events=self.dropped_events)
        self.away = False
        self.settle(seconds, events, statuses, forgotten)
        return True

    async def send(
        self,
        client: Redis,
        seconds: list[TelemetrySecond],
        events: list[Event],
        statuses: dict[tuple[str, str], Document],
        forgotten: list[str],
    ) -> None:
        async with client.pipeline(transaction=False) as pipe:
            for number, second in enumerate(seconds):
                if number == 0 and self.dropped_seconds:
                    second = msgspec.structs.replace(second, dropped=second.dropped + self.dropped_seconds)
                pipe.xadd(TELEMETRY, {"d": encode(second)}, maxlen=TELEMETRY_LENGTH, approximate=True)
            for event in events:
                pipe.xadd(EVENTS, {"d": encode(event)}, maxlen=EVENTS_LENGTH, approximate=True)
            for (name, field), status in statuses.items():
                pipe.hset(name, field, encode(status))
                pipe.hexpire(name, EXPIRE_S, field)
            if forgotten:
                pipe.hdel(WORKERS, *forgotten)
            self.note_refusals(await pipe.execute(raise_on_error=False))

    def note_refusals(self, answers: list[object]) -> None:
        """Say it once when Redis refuses reports (out of memory, read-only): sending them again would change nothing.

        A server without field expiry refuses HEXPIRE; there, rows stay until they are forgotten.
        """
        refusals = [str(one) for one in answers if isinstance(one, ResponseError) and "unknown command" not in str(one)]
        if refusals and not self.refused:
            log.warning("reports_refused", count=len(refusals), error=refusals[0])
        self.refused = bool(refusals)

    def settle(
        self,
        seconds: list[TelemetrySecond],
        events: list[Event],
        statuses: dict[tuple[str, str], Document],
        forgotten: list[str],
    ) -> None:
        """Take what was sent out of the buffers; what came meanwhile stays."""
        sent = set(map(id, [*seconds, *events]))
        self.seconds = deque(second for second in self.seconds if id(second) not in sent)
        self.events = deque(event for event in self.events if id(event) not in sent)
        for key, status in statuses.items():
            if self.statuses.get(key) is status:
                del self.statuses[key]
        self.forgotten.difference_update(forgotten)
        if seconds:
            self.dropped_seconds = 0

    async def forget_workers_except(self, living: set[str]) -> None:
        """Remove rows that a controller before us left behind. Does nothing while Redis is away."""
        if self.client is None:
            return
        with contextlib.suppress(*AWAY):
            for field in await self.client.hkeys(WORKERS):
                if (replica := text_of(field)) not in living:
                    self.forget_worker(replica)

    async def close(self) -> None:
        """One last try, then hang up."""
        await self.flush()
        if self.client is not None:
            with contextlib.suppress(*AWAY):
                await self.client.aclose()
