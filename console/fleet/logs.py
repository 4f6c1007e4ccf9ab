"""The last lines of a worker's log, where this console shares a disk with it."""

import os
import re

from django.conf import settings

TAIL_BYTES = 16 * 1024
MOST_LINES = 60
REPLICA = re.compile(r"[a-z0-9][a-z0-9._-]{0,200}\Z")  # so that no name leads out of the folder


def read_tail(replica: str) -> list[str] | None:
    """None where there is no such file: the worker runs on another machine, or wrote nothing."""
    if not REPLICA.match(replica):
        return None
    try:
        with (settings.DATA_DIR / "log" / f"{replica}.log").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return None
    if size > TAIL_BYTES:
        lines = lines[1:]  # the first one is cut
    return lines[-MOST_LINES:]
