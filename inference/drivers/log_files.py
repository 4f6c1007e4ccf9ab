"""Logs of workers: `<data>/log/<replica>.log`, bounded in size and in number."""

import contextlib
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import IO

MAX_BYTES = 4 * 1024 * 1024  # then the newer half moves to `<replica>.log.1` and the log starts again
MAX_LOGS = 60
TAIL_BYTES = 2_000
REPLICA_LOG = re.compile(r"-[0-9a-f]{4,}\.log(\.1)?$")  # the folder also holds the programs' logs: leave those alone


def open_log(path: Path) -> IO[bytes]:
    """For appending: what the process writes stays in order with what we cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def read_tail(path: Path) -> str:
    """The last lines, for the reason of an end. Empty when there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - TAIL_BYTES, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if size > TAIL_BYTES else text


def bound_log(path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Cut a log that a process holds open. Lines written during the cut may be lost."""
    try:
        size = path.stat().st_size
        if size <= max_bytes:
            return
        with path.open("r+b") as file:
            file.seek(size - max_bytes // 2)
            path.with_name(f"{path.name}.1").write_bytes(file.read(max_bytes // 2))
            file.truncate(0)
    except OSError:
        return


def prune_logs(folder: Path, living: Collection[str], keep: int = MAX_LOGS) -> None:
    """Remove the oldest logs of replicas that are gone: their names never come back."""
    stamped = []
    for path in folder.glob("*.log*"):
        if REPLICA_LOG.search(path.name) and path.name.partition(".log")[0] not in living:
            with contextlib.suppress(OSError):
                stamped.append((path.stat().st_mtime, path))
    for _, path in sorted(stamped)[: max(len(stamped) - keep, 0)]:
        path.unlink(missing_ok=True)
