"""All client connections of one process: the listening socket, the sweep over timeouts, the ordered end."""

import asyncio
import contextlib
from email.utils import formatdate
from time import monotonic, time

from inference.config import Config
from inference.gateway.certificates import EdgeCertificate
from inference.gateway.exchange import Application
from inference.gateway.http import Connection
from inference.gateway.known_heads import KnownHeads
from inference.gateway.timeouts import sweep
from inference.gateway.turns import Turns

BODIES_IN_FLIGHT = 16  # times the largest body: memory that all bodies not answered yet may take together
SHUTDOWN_S = 1.0  # for a TLS client to answer our goodbye
SWEEP_CHUNK = 500  # connections looked at in one turn of the loop
ENDED_COUNTS = 50  # times a look: closing one and telling everybody
DRAIN_IDLE_S = 1.0  # a client that has just read an answer may be writing its next request


class HttpServer:
    def __init__(self, application: Application, config: Config, certificate: EdgeCertificate | None = None):
        self.application = application
        self.config = config
        self.certificate = certificate
        self.connections: set[Connection] = set()
        self.known_heads = KnownHeads()
        self.turns = Turns()
        self.buffered_bytes = 0  # of bodies that are not answered yet
        self.most_buffered_bytes = BODIES_IN_FLIGHT * config.max_body_bytes
        self.accepted = 0
        self.turned_away = 0
        self.draining = False
        self.date = b""
        self.server: asyncio.Server | None = None
        self.sweeper: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int, reuse_port: bool = False) -> int:
        """Bind and serve; returns the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        self.set_date()
        tls = None if self.certificate is None else self.certificate.context
        self.server = await loop.create_server(
            lambda: Connection(self),
            host,
            port,
            reuse_port=reuse_port,
            backlog=2048,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else self.config.header_timeout_s,
            ssl_shutdown_timeout=None if tls is None else SHUTDOWN_S,
        )
        self.sweeper = asyncio.create_task(self.sweep_forever(), name="http-sweeper")
        return int(self.server.sockets[0].getsockname()[1])

    async def sweep_forever(self) -> None:
        limits = (self.config.header_timeout_s, self.config.body_timeout_s, self.config.idle_timeout_s)
        period_s = max(0.02, min(1.0, min(limits) / 4))
        while True:
            await asyncio.sleep(period_s)
            self.set_date()
            if self.certificate is not None:
                self.certificate.refresh()
            await self.sweep_all()

    async def sweep_all(self) -> None:
        """Some at a time, and requests between: thousands may be due at once, and would hold up all others."""
        looked, left = 0, list(self.connections)
        while left:  # and not a loop over all of them: the last to hold those that ended would free all in one turn
            connection = left.pop()
            if connection in self.connections:  # still
                looked += ENDED_COUNTS if sweep(connection, monotonic()) else 1
            if looked >= SWEEP_CHUNK:
                looked = 0
                await asyncio.sleep(0)

    def set_date(self) -> None:
        self.date = f"date: {formatdate(time(), usegmt=True)}\r\n".encode()

    async def drain(self, within_s: float) -> bool:
        """Accept nothing more, answer what is in hand, close. False when some had to be cut off."""
        self.draining = True
        if self.server is not None:
            self.server.close()
        end_s = monotonic() + within_s
        idle_end_s = min(end_s, monotonic() + DRAIN_IDLE_S)
        while self.connections and monotonic() < end_s:
            if monotonic() >= idle_end_s:
                for connection in tuple(self.connections):
                    connection.close_if_idle()
            await asyncio.sleep(0.02)
        clean = not any(connection.active for connection in self.connections)
        for connection in tuple(self.connections):
            connection.abort()
        if self.sweeper is not None:
            self.sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.sweeper
        return clean
