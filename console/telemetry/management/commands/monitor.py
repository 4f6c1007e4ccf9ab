"""`manage.py monitor`: live view and history; see console/telemetry/monitor.py."""

import asyncio
import signal
from argparse import ArgumentParser
from typing import Any

from channels.layers import get_channel_layer
from django.core.management.base import BaseCommand

from console.telemetry.live import monitor_client
from console.telemetry.monitor import Monitor
from inference.config import Config
from inference.lifeline import watch_lifeline
from inference.log import configure_log


class Command(BaseCommand):
    help = "Read what gateways and workers report, keep the last hour, write history, push live frames."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--log-format", choices=("text", "json"))

    def handle(self, *args: Any, **options: Any) -> None:
        config = Config.from_env(log_format=options["log_format"])
        configure_log("monitor", config.log_format, config.log_level)
        asyncio.run(run_monitor())


async def run_monitor() -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watch_lifeline(loop, stop.set)
    async with monitor_client() as redis:
        await Monitor(redis, get_channel_layer()).run(stop)
