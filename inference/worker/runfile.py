"""run/<replica>.json: how a controller that starts later finds the workers that live, and trusts their pid."""

import os
import time
from pathlib import Path

import msgspec

from inference.drivers.base import Job
from inference.drivers.run_files import RunFile, start_ticks


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
        model=job.model,
        version=job.version.number,
        digest=job.version.digest,
        unit=job.unit,
        device=job.device,
        start_ticks=start_ticks(pid),
    )
    fresh.write_bytes(msgspec.json.encode(content))
    fresh.replace(path)
    return path
