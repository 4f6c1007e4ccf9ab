"""Who is at work: a name that is never given twice, and whether its bearer still lives."""

import os
import socket
from functools import cache

import psutil

SLACK_S = 1.0


@cache
def worker_name() -> str:
    """`host:pid:start`: a pid alone may be somebody else's by now."""
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def is_alive(name: str) -> bool | None:
    """Of a worker on this host; None for one elsewhere, of whom only the heartbeat tells."""
    host, _, rest = name.rpartition(":")[0].rpartition(":")
    pid, started = rest, name.rpartition(":")[2]
    if host != socket.gethostname()[:30]:
        return None
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < SLACK_S
    except (psutil.Error, ValueError):
        return False
