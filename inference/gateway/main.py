"""`python -m inference gateway`: route, queue, batch and answer requests."""

import argparse
import asyncio
import os
import resource
import signal
import ssl
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import uvloop

from inference.config import BadSetting, Config
from inference.gateway.admin import Admin
from inference.gateway.certificates import read_certificate
from inference.gateway.gateway import Gateway
from inference.gateway.processes import Children, reserve_port
from inference.gateway.report_line import ReportLine
from inference.gateway.server import HttpServer
from inference.heap import keep_freed_memory
from inference.lifeline import watch_lifeline
from inference.log import configure_log, get_log
from inference.transport.tls import CA, client_context

log = get_log()

HEAP_BYTES = 32 * 1024 * 1024  # kept from request to request: some pictures and their answers
OWN_FILES = 600  # sockets to replicas and Redis, files, the loop's own


def main(argv: list[str]) -> int:
    arguments = read_arguments(argv)
    try:
        config = Config.from_env(
            data=arguments.data,
            redis_url=arguments.redis_url,
            host=arguments.host,
            port=arguments.port,
            grpc_port=arguments.grpc_port,
            admin_port=arguments.admin_port,
            processes=arguments.processes,
        )
        read_certificate(config)  # one that cannot be used stops the start here, before any child is made
    except BadSetting as error:
        raise SystemExit(f"gateway: {error}") from None
    configure_log("gateway", config.log_format, config.log_level)
    keep_freed_memory(HEAP_BYTES)
    config = replace(config, max_connections=min(config.max_connections, raise_file_limit(config.max_connections)))
    if arguments.child is not None:
        return uvloop.run(run_child(config, arguments.child, arguments.report_fd))
    try:
        return uvloop.run(run_parent(config) if config.processes > 1 else run_alone(config))
    except OSError as error:
        log.error("gateway_cannot_listen", host=config.host, port=config.port, grpc_port=config.grpc_port,
                  admin_port=config.admin_port, error=str(error))  # fmt: skip
        return 1


def read_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m inference gateway", description=__doc__)
    parser.add_argument("--data", type=Path, help="data folder")
    parser.add_argument("--redis-url", help="Redis or Valkey; without one, documents are read from the data folder")
    parser.add_argument("--host", help="address to bind")
    parser.add_argument("--port", type=int, help="port for inference; 0 takes a free one")
    parser.add_argument("--grpc-port", type=int, help="port for inference over gRPC; 0 for none")
    parser.add_argument("--admin-port", type=int, help="port for /metrics and health; 0 takes a free one")
    parser.add_argument("--processes", type=int, help="processes that share the port")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--report-fd", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def raise_file_limit(connections: int) -> int:
    """Let this process open that many sockets and what it needs besides; says how many connections that leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warning("few_open_files", limit=soft, wanted=wanted, connections=soft - OWN_FILES)
        return max(1, soft - OWN_FILES)
    return connections


def stop_event() -> asyncio.Event:
    """Set by SIGTERM, SIGINT, or the end of the lifeline. A second SIGINT ends at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def interrupted() -> None:
        if stop.is_set():
            raise SystemExit(130)
        stop.set()

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, interrupted)
    watch_lifeline(loop, stop.set)
    return stop


def node_tls(config: Config) -> ssl.SSLContext | None:
    """Certificates for workers on other machines, where `python -m inference certs` has put them."""
    folder = config.data / "certs"
    return client_context(folder) if (folder / CA).exists() else None


def gateway_name(config: Config) -> str:
    """The same after a restart, and no other gateway's."""
    return f"gateway-{config.node}-{config.port or f'pid{os.getpid()}'}"


def url_of(host: str, port: int, scheme: str = "http") -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def client_url(config: Config, port: int) -> str:
    return url_of(config.host, port, "https" if config.tls_cert else "http")


async def run_alone(config: Config) -> int:
    stop = stop_event()
    gateway = Gateway(
        config, gateway_name(config), client_url(config, config.port), 1, node_tls(config), read_certificate(config)
    )
    admin = HttpServer(Admin(gateway.report), config)
    admin_port = await admin.listen(config.host, config.admin_port)
    port = await gateway.start(config.host, config.port)
    gateway.url = client_url(config, port)
    log.info("gateway_listens", url=gateway.url, grpc_port=config.grpc_port,
             admin_url=url_of(config.host, admin_port), processes=1)  # fmt: skip
    await stop.wait()
    await gateway.drain()
    await admin.drain(1.0)
    return 0


async def run_parent(config: Config) -> int:
    stop = stop_event()
    reserve_grpc = reserve_port(config.host, config.grpc_port) if config.grpc_port else nullcontext()
    with reserve_port(config.host, config.port) as reserved, reserve_grpc:
        port = int(reserved.getsockname()[1])
        command = ["--data", str(config.data), "--redis-url", config.redis_url, "--host", config.host,
                   "--port", str(port), "--grpc-port", str(config.grpc_port),
                   "--processes", str(config.processes)]  # fmt: skip
        children = Children(config, config.processes, command)
        admin = HttpServer(Admin(children.report), config)
        admin_port = await admin.listen(config.host, config.admin_port)
        log.info("gateway_listens", url=client_url(config, port), grpc_port=config.grpc_port,
                 admin_url=url_of(config.host, admin_port), processes=config.processes)  # fmt: skip
        await children.run(stop)
        await admin.drain(1.0)
    return 0


async def run_child(config: Config, number: int, report_fd: int) -> int:
    stop = stop_event()
    name = f"{gateway_name(config)}.{number}"
    # Each process takes its share of the connections that the gateway may hold.
    share = replace(config, max_connections=max(1, config.max_connections // config.processes))
    gateway = Gateway(
        share, name, client_url(config, config.port), config.processes, node_tls(config), read_certificate(config)
    )
    line = ReportLine(report_fd, gateway.report)
    gateway.statistics.source = line.sum
    await gateway.start(config.host, config.port, reuse_port=True)
    reporting = asyncio.create_task(line.run())
    log.info("gateway_child_listens", child=number)
    await stop.wait()
    await gateway.drain()
    await line.close()
    reporting.cancel()
    return 0
