"""`manage.py serve`: pages, API and live frames under uvicorn."""

import argparse
import asyncio
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand

from console.lib.static_files import collect_static
from inference.lifeline import watch_lifeline
from inference.log import configure_log

GRACE_S = 3  # live sockets and slow clients would hold a stop for ever
MAX_CONNECTIONS = 2_000
MAX_HEAD_BYTES = 64 * 1024


class Command(BaseCommand):
    help = "Serve the console. Stops on SIGTERM, SIGINT, or when the program that started it is gone."
    requires_system_checks: list[str] = []  # run by `manage.py check`; a second of every start

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--proxy", default="", help="addresses of proxies whose X-Forwarded-* headers are believed")

    def handle(self, *, host: str, port: int, proxy: str, **_: Any) -> None:
        configure_log("console", settings.LOG_FORMAT, settings.LOG_LEVEL)
        collect_static()
        config = uvicorn.Config(
            "console.asgi:application",
            host=host,
            port=port,
            lifespan="off",
            http="h11",  # httptools has no limit on the size of a request's head, and reads it before any login
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            access_log=False,  # one line a request is written by console.lib.middleware, with its id
            log_config=None,
            server_header=False,
            proxy_headers=bool(proxy),
            forwarded_allow_ips=proxy or None,
            ws_per_message_deflate=False,  # costs memory per socket; frames are small
            ws_max_size=64 * 1024,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE_S,
        )
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(serve(uvicorn.Server(config)))


async def serve(server: uvicorn.Server) -> None:
    def stop() -> None:
        server.should_exit = True

    watch_lifeline(asyncio.get_running_loop(), stop)
    await server.serve()
