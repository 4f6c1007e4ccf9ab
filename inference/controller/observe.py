"""What is so: processes from the driver, states from the workers' own heartbeats."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from inference.drivers.base import Running
from inference.errors import BadDocument, SwitchyardError
from inference.log import get_log
from inference.policy.replicas import Replica
from inference.spec import decode
from inference.status import ReplicaState, WorkerStatus
from inference.transport.frames import BadFrame, ClientHello, FrameReader, Kind, Role, pack

log = get_log()

READ_BYTES = 64 * 1024
MAX_FRAME_BYTES = 256 * 1024  # of a heartbeat
DIAL_TIMEOUT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5

Beat = tuple[WorkerStatus, float]  # and when it came, on the controller's clock


class Pulse(Protocol):
    """Where heartbeats come from."""

    def follow(self, running: Iterable[Running]) -> None:
        """Listen to these workers and to no others."""

    def beats(self) -> Mapping[str, Beat]:
        """The last heartbeat of each, by replica."""


class Heartbeats:
    """Holds one connection to each worker, in the role of a controller: it only listens."""

    def __init__(
        self,
        name: str,
        on_news: Callable[[], None],
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.hello = pack(Kind.HELLO, ClientHello(Role.CONTROLLER, name, ""))
        self.on_news = on_news
        self.tls = tls
        self.clock = clock
        self.latest: dict[str, Beat] = {}
        self.listeners: dict[str, tuple[int, asyncio.Task[None]]] = {}

    def follow(self, running: Iterable[Running]) -> None:
        living = {one.replica: one for one in running}
        for replica, (pid, task) in list(self.listeners.items()):
            if replica not in living or living[replica].pid != pid:
                task.cancel()
                del self.listeners[replica]
                self.latest.pop(replica, None)  # a restarted worker must not live on its predecessor's word
        for replica, one in living.items():
            if replica not in self.listeners:
                task = asyncio.create_task(self.listen(replica, one.address), name=f"heartbeats of {replica}")
                self.listeners[replica] = one.pid, task

    def beats(self) -> Mapping[str, Beat]:
        return self.latest

    async def listen(self, replica: str, address: str) -> None:
        """Dial until it answers, and again after each end: that the worker lives is the driver's word, not ours."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                reader, writer = await self.dial(address)
            except (OSError, SwitchyardError):
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            try:
                await self.read(replica, reader)
            except (OSError, BadFrame, BadDocument) as error:
                log.warning("heartbeat_lost", replica=replica, error=str(error) or type(error).__name__)
            finally:
                writer.close()
            self.on_news()
            await asyncio.sleep(pause_s)

    async def dial(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        scheme, _, place = address.partition(":")
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            if scheme == "unix":
                reader, writer = await asyncio.open_unix_connection(place)
            else:
                host, _, port = place.rpartition(":")
                reader, writer = await asyncio.open_connection(host, int(port), ssl=self.tls)
        writer.write(self.hello)
        return reader, writer

    async def read(self, replica: str, reader: asyncio.StreamReader) -> None:
        frames = FrameReader(MAX_FRAME_BYTES)
        while data := await reader.read(READ_BYTES):
            for kind, _, body in frames.feed(data):
                if kind is Kind.HEARTBEAT:
                    self.take(decode(bytes(body), WorkerStatus), replica)

    def take(self, status: WorkerStatus, replica: str) -> None:
        if status.replica != replica:
            raise BadDocument(f"{status.replica!r} beats where {replica!r} should.")
        before = self.latest.get(replica)
        self.latest[replica] = status, self.clock()
        if before is None or before[0].state is not status.state:
            self.on_news()

    async def close(self) -> None:
        tasks = [task for _, task in self.listeners.values()]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        self.listeners.clear()


def see_replicas(
    running: Iterable[Running],
    beats: Mapping[str, Beat],
    assumed: Mapping[str, ReplicaState],
    draining_at_s: Mapping[str, float],
    stopping: Iterable[str],
    since_s: Mapping[str, float],
    listening_since_s: float,
) -> list[Replica]:
    """Facts for the decision. `assumed`: the state of an adopted one until it has said its own. `since_s`: when each
    started. Nobody is blamed for a silence before `listening_since_s`: we did not listen."""
    asked = set(stopping)
    seen = []
    for one in running:
        status, beat_at_s = beats.get(one.replica, (None, listening_since_s))
        state = status.state if status is not None else assumed.get(one.replica, ReplicaState.STARTING)
        seen.append(
            Replica(
                replica=one.replica,
                model=one.model,
                version=one.version,
                digest=one.digest,
                unit=one.unit,
                device=one.device,
                state=state,
                started_at_s=since_s[one.replica],
                beat_at_s=max(beat_at_s, since_s[one.replica], listening_since_s),
                draining_at_s=draining_at_s.get(one.replica),
                stopping=one.replica in asked,
            )
        )
    return seen
