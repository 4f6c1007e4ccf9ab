"""Workers as their run files tell of them: `up` waits for their drain, and on a second Ctrl-C ends them."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

DRAIN_S = 25.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SLACK_TICKS = 2  # psutil turns ticks into seconds and rounds


def living_workers(folder: Path) -> Iterator[psutil.Process]:
    """Processes named by `<data>/run/*.json` that are still who they were: a pid alone may be somebody else by now."""
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, psutil.Error):
            facts = json.loads(path.read_text())
            process = psutil.Process(int(facts["pid"]))
            ticks = (process.create_time() - psutil.boot_time()) * TICKS_PER_S
            same = abs(ticks - int(facts["start_ticks"])) < SLACK_TICKS
            if same and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def await_workers(folder: Path) -> None:
    """Until every worker is gone; those that still stay after their drain time are killed."""
    end = time.monotonic() + DRAIN_S
    while time.monotonic() < end:
        if not any(living_workers(folder)):
            return
        time.sleep(0.05)
    kill_workers(folder)


def kill_workers(folder: Path) -> None:
    for process in living_workers(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()
