"""Addresses that a worker listens on: a unix socket of its owner alone, or TCP for TLS between machines."""

import socket
import ssl
from pathlib import Path

BACKLOG = 256


def listen(address: str) -> socket.socket:
    """A listening socket on `unix:/path` (mode 0600) or `tls:host:port`. Raises OSError when it is taken."""
    kind, _, where = address.partition(":")
    if kind == "unix":
        return listen_unix(Path(where))
    host, _, port = where.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=BACKLOG)


def listen_unix(path: Path) -> socket.socket:
    """Take the path over from a dead process; a living one keeps it."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        else:
            raise OSError(f"Another process listens on {path}.")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    path.chmod(0o600)  # before listen(): until then nobody can connect
    sock.listen(BACKLOG)
    return sock


def accept_one(listener: socket.socket, context: ssl.SSLContext | None) -> socket.socket | None:
    """A connection, not blocking and its TLS handshake still to come; None when the peer gave up meanwhile."""
    try:
        sock, _ = listener.accept()
    except OSError:
        return None
    try:
        sock.settimeout(0)
        if context is not None:
            keep_alive(sock)
            sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
    except OSError:
        sock.close()
        return None
    return sock


def keep_alive(sock: socket.socket) -> None:
    """Notice within half a minute that the other machine is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
