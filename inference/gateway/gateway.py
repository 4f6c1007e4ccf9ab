"""One gateway process, put together: documents in, HTTP and gRPC out, a report a second."""

import asyncio
import gc
import ssl
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from time import time
from typing import TYPE_CHECKING, Any

from inference.config import Config
from inference.errors import SwitchyardError
from inference.gateway.certificates import EdgeCertificate
from inference.gateway.dataplane import Dataplane
from inference.gateway.dispatch import Dispatcher
from inference.gateway.report import ProcessReport, SeriesReport, UnitReport
from inference.gateway.repository import Repository
from inference.gateway.rest import Rest
from inference.gateway.server import HttpServer
from inference.gateway.statistics import Statistics
from inference.gateway.tables import Tables
from inference.gateway.telemetry import Telemetry
from inference.heap import fill_gaps
from inference.log import get_log
from inference.status import GatewayStatus, TelemetrySecond
from inference.sync.feed import Feed
from inference.sync.report import Reporter

if TYPE_CHECKING:
    from inference.gateway.grpc.server import GrpcServer

log = get_log()

RESTART_S = 1.0
FIRST_LINKS_S = 1.0  # before listening, for the replicas that the documents call ready
SERIES_A_TURN = 100  # closed in one turn of the loop: about a millisecond
GC_THRESHOLDS = (20_000, 20, 50)  # a request makes no cycles; look for them seldom


def calm_collector() -> list[object]:
    """Leave what stays out of every later collection, and let what comes lie together while the result is kept."""
    gc.collect()
    filler = fill_gaps()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    return filler


async def keep_running(name: str, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A part that breaks is started again; serving goes on with what it knew."""
    while True:
        try:
            await part()
        except Exception:
            log.exception("gateway_part_broke", part=name)
        await asyncio.sleep(RESTART_S)


def make_grpc(
    dataplane: Dataplane,
    statistics: Statistics,
    repository: Repository,
    config: Config,
    certificate: EdgeCertificate | None,
) -> "GrpcServer | None":
    """The gRPC edge, where it is wanted and its libraries are installed; without, nothing of it is imported."""
    if not config.grpc_port:
        return None
    if find_spec("grpc") is None:
        log.warning("grpc_off", port=config.grpc_port, why="grpcio is not installed", fix="install switchyard[grpc]")
        return None
    from inference.gateway.grpc.extensions import Extensions
    from inference.gateway.grpc.server import GrpcServer

    return GrpcServer(dataplane, Extensions(dataplane, statistics, repository), config, certificate)


class Gateway:
    def __init__(
        self,
        config: Config,
        name: str,
        url: str,
        processes: int = 1,
        tls: ssl.SSLContext | None = None,
        certificate: EdgeCertificate | None = None,
    ):
        """`tls` is for workers on other machines, `certificate` for clients."""
        loop = asyncio.get_running_loop()
        self.config = config
        self.name = name
        self.url = url
        self.processes = processes
        self.started_at_s = time()
        self.telemetry = Telemetry()
        self.dispatcher = Dispatcher(name, self.telemetry, loop, tls, config.poll_s)
        self.tables = Tables(self.dispatcher)
        self.dataplane = Dataplane(self.tables, self.telemetry)
        self.feed = Feed(config.redis_url, config.data / "documents")
        self.statistics = Statistics(self.dataplane, self.report_alone)
        self.repository = Repository(self.dataplane, self.feed)
        self.rest = Rest(self.dataplane, self.statistics, self.repository)
        self.http = HttpServer(self.rest, config, certificate)
        self.grpc = make_grpc(self.dataplane, self.statistics, self.repository, config, certificate)
        self.reporter = Reporter(config.redis_url)
        self.tasks: list[asyncio.Task[None]] = []
        self.filler: list[object] = []

    async def start(self, host: str, port: int, reuse_port: bool = False) -> int:
        """Load the last good documents, link, listen; returns the port of HTTP. Raises OSError when one is taken."""
        gc.disable()  # of ten thousand documents nothing is garbage, and looking for it takes four times the reading
        self.feed.load()
        self.tables.load(self.feed.documents)
        parts = {"feed": lambda: self.feed.run(self.on_change), "reporter": self.reporter.run,
                 "seconds": self.report_seconds}  # fmt: skip
        self.tasks = [asyncio.create_task(keep_running(name, part), name=name) for name, part in parts.items()]
        await self.wait_for_links()
        port = await self.http.listen(host, port, reuse_port)
        if self.grpc is not None:
            await self.grpc.listen(host, self.config.grpc_port, reuse_port)
        self.filler = calm_collector()
        return port

    async def wait_for_links(self) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + FIRST_LINKS_S
        while loop.time() < end_s and any(
            replica.link is None for pool in self.dispatcher.replicas.values() for replica in pool.values()
        ):
            await asyncio.sleep(0.01)

    def on_change(self, kind: str, key: str) -> None:
        self.tables.apply(self.feed.documents, kind, key)

    async def report_seconds(self) -> None:
        while True:
            now_s = time()
            await asyncio.sleep(1.0 - now_s % 1.0)
            await self.end_second(int(now_s))

    async def end_second(self, second: int) -> None:
        series = []
        for one in self.telemetry.close_second():
            series.append(one)
            if len(series) % SERIES_A_TURN == 0:
                await asyncio.sleep(0)
        waiting, in_flight = self.dispatcher.waiting, self.dataplane.running
        self.reporter.telemetry(TelemetrySecond(self.name, second, tuple(series), waiting=waiting, in_flight=in_flight))
        self.reporter.gateway(
            GatewayStatus(
                id=self.name,
                at_s=time(),
                started_at_s=self.started_at_s,
                url=self.url,
                processes=self.processes,
                feed_revision=self.feed.revision,
                connected=self.feed.connected,
                generations=self.feed.generations,
            )
        )

    async def report_alone(self) -> ProcessReport:
        """All there is to sum up where this process has no others beside it."""
        return self.report()

    def report(self) -> ProcessReport:
        ready, why_not = True, ""
        try:
            self.dataplane.check_ready()
        except SwitchyardError as error:
            ready, why_not = False, str(error)
        return ProcessReport(
            started_at_s=self.started_at_s,
            ready=ready,
            why_not=why_not,
            connected=self.feed.connected,
            feed_revision=self.feed.revision,
            running=self.dataplane.running,
            connections=len(self.http.connections),
            buffered_bytes=self.http.buffered_bytes + (self.grpc.service.buffered_bytes if self.grpc else 0),
            accepted=self.http.accepted,
            turned_away=self.http.turned_away,
            reports_dropped=self.reporter.dropped_seconds,
            series=[
                SeriesReport(model, version, counts) for (model, version), counts in self.telemetry.snapshot().items()
            ],
            units=[
                UnitReport(model, version, unit, queue.waiting_count, len(queue.slots))
                for model, queues in self.dispatcher.queues.items()
                for (version, _, unit), queue in queues.items()
            ],
        )

    async def drain(self) -> None:
        """Nothing in flight is lost: stop accepting, answer, then hang up on workers and Redis."""
        self.dataplane.draining = True
        log.info("gateway_draining", running=self.dataplane.running, connections=len(self.http.connections))
        edges = [edge.drain(self.config.drain_s) for edge in (self.http, self.grpc) if edge is not None]
        clean = all(await asyncio.gather(*edges))
        await self.end_second(int(time()))
        await self.dispatcher.stop()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.reporter.close()
        log.info("gateway_stopped", clean=clean)
