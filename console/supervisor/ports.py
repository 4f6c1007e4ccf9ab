"""Ports that are really free. A taken one gives the next, and the caller says so aloud."""

import socket
from collections.abc import Iterable

TRIES = 200


def next_free_port(host: str, wanted: int, taken: Iterable[int] = ()) -> int:
    """The first port from `wanted` upwards that can be bound now; raises OSError after 200 tries."""
    avoid = set(taken)
    for port in range(wanted, min(wanted + TRIES, 65_536)):
        if port not in avoid and is_free(host, port):
            return port
    raise OSError(f"No free port from {wanted} to {wanted + TRIES - 1} on {host}. Name another with --port.")


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT after a restart is free to them, so it must be to us.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
