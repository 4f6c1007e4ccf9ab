"""Decide where everything will listen and lie, before anything starts."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from console.supervisor.ports import next_free_port
from console.supervisor.programs import Layout

SOCKET_PATH_BYTES = 100  # the kernel's limit is 107; replicas' names need some


@dataclass(frozen=True, slots=True)
class Options:
    """The flags of `manage.py up`."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    gateway_port: int = 8080
    grpc_port: int = 8081
    admin_port: int = 8082
    demo: bool = True
    workers: int | None = None
    device: str = ""
    check: bool = False
    hold: str = ""


def run_dir(data: Path) -> Path:
    """Folder for sockets: `<data>/run`, or a short private one where that path is too long for a socket."""
    folder = data / "run"
    if len(os.fsencode(folder / "valkey.sock")) > SOCKET_PATH_BYTES:
        folder = Path("/tmp") / f"sy-{hashlib.sha256(os.fsencode(data)).hexdigest()[:8]}"  # noqa: S108 mode 0700 below
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else. Choose a shorter --data folder.")
    return folder


def plan_layout(options: Options, say: Callable[[str], None]) -> Layout:
    """Free ports from the wanted ones upwards (said aloud where they differ) and Redis, given or embedded."""
    ports: list[int] = []
    for label, wanted in (
        ("console", options.port),
        ("gateway", options.gateway_port),
        ("gateway's gRPC", options.grpc_port),
        ("admin", options.admin_port),
    ):
        if not wanted:  # only gRPC may be left out
            ports.append(0)
            continue
        port = next_free_port(options.host, wanted, ports)
        if port != wanted:
            say(f"Port {wanted} is taken; the {label} listens on {port}.")
        ports.append(port)
    console, gateway, grpc, admin = ports
    given = os.environ.get("REDIS_URL", "")
    socket = None if given else run_dir(options.data) / "valkey.sock"
    return Layout(
        options.data, options.host, console, gateway, grpc, admin, given or f"unix://{socket}", valkey_socket=socket
    )
