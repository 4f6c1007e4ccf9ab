"""run/<replica>.json: how a controller that starts later finds the workers that live, and trusts their pid."""

import os
import time
from pathlib import Path

import msgspec

from inference.drivers.base import Job, Running


class RunFile(Running, frozen=True):
    """`start_ticks` is the kernel's start time of the process: a pid that was given to another has a different one."""

    start_ticks: int


def start_ticks(pid: int) -> int:
    """Clock ticks after boot at which the process started. Raises OSError when there is no such process."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])  # the name before it may hold anything


def run_file(job: Job) -> Path:
    return Path(job.data) / "run" / f"{job.replica}.json"


def write_run_file(job: Job) -> Path:
    path = run_file(job)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pid = os.getpid()
    fresh = path.with_suffix(".new")
    content = RunFile(
        replica=job.replica,
        pid=pid,
        started_at_s=time.time(),
        address=job.address,
        digest=job.version.digest,
        unit=job.unit,
        device=job.device,
        start_ticks=start_ticks(pid),
    )
    fresh.write_bytes(msgspec.json.encode(content))
    fresh.replace(path)
    return path
