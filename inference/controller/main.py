"""`python -m inference controller`: keep one pool as the documents want it."""

import argparse
import asyncio
import signal

from inference.config import BadSetting, Config
from inference.controller.loop import Controller
from inference.controller.observe import Heartbeats
from inference.controller.seat import Seat
from inference.drivers.local import LocalDriver
from inference.lifeline import watch_lifeline
from inference.log import configure_log, get_log
from inference.sync.feed import Feed
from inference.sync.report import Reporter
from inference.transport.tls import CA, client_context

log = get_log()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m inference controller", description="Keep the pool as documents want it."
    )
    parser.add_argument("--data", help="data folder (SWITCHYARD_DATA)")
    parser.add_argument("--redis-url", dest="redis_url", help="Redis or Valkey (REDIS_URL); none: the folder alone")
    parser.add_argument("--pool", help="the pool to run (SWITCHYARD_POOL)")
    parser.add_argument("--node", help="name of this machine (SWITCHYARD_NODE)")
    arguments = parser.parse_args(argv)
    try:
        config = Config.from_env(**vars(arguments))
    except BadSetting as error:
        parser.error(str(error))
    configure_log("controller", config.log_format, config.log_level)
    asyncio.run(run(config))
    return 0


async def run(config: Config) -> None:
    """Until SIGTERM, SIGINT or the end of the lifeline. The workers stay for a successor, or end with the lifeline."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watch_lifeline(loop, stop.set)

    data = config.data.absolute()
    feed = Feed(config.redis_url, data / "documents")
    feed.load()
    reporter = Reporter(config.redis_url)
    seat = Seat(config.redis_url, data / "run")
    certificates = data / "certs"
    tls = client_context(certificates) if (certificates / CA).exists() else None
    wake = asyncio.Event()
    heartbeats = Heartbeats(f"controller of {config.node}", wake.set, tls)
    controller = Controller(
        feed, reporter, LocalDriver(data), seat, heartbeats, wake, data, config.node, config.pool, config.drain_s
    )

    tasks = [
        asyncio.create_task(feed.run(controller.on_change), name="feed"),
        asyncio.create_task(reporter.run(), name="reporter"),
        asyncio.create_task(seat.keep(lambda: highest_fence(feed), wake.set), name="seat"),
        asyncio.create_task(controller.run(), name="controller"),
    ]
    log.info("controller_started", pool=config.pool, node=config.node, data=str(data))
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in reversed(tasks):
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await heartbeats.close()
    await reporter.close()
    await seat.close()
    for task, result in zip(tasks, results, strict=True):
        if task in done and isinstance(result, BaseException):
            raise result
    log.info("controller_stopped")


def highest_fence(feed: Feed) -> int:
    weights, endpoints = feed.documents.effective.values(), feed.documents.endpoints.values()
    return max([0, *(one.fence for one in weights), *(one.fence for one in endpoints)])
