import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.peer import Peer
from support.replicas import make_job, start_worker, tiny_version
from support.waiting import wait_until

from inference.drivers.base import Job


class Replica:
    """A running worker and how to reach it."""

    def __init__(self, job: Job, process: subprocess.Popen[bytes], log: Path) -> None:
        self.job, self.process, self.log = job, process, log
        self.socket = Path(job.address.removeprefix("unix:"))

    def connect(self, **hello: object) -> Peer:
        """A gateway of this worker's version, introduced."""
        wait_until(lambda: self.socket.exists() or self.process.poll() is not None, why="the worker listens")
        peer = Peer(self.job.address)
        peer.hello(**{"digest": self.job.version.digest, **hello})
        return peer


@pytest.fixture
def lifeline() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for end in (read_end, write_end):
        with contextlib.suppress(OSError):
            os.close(end)


@pytest.fixture
def replica(short_tmp: Path) -> Iterator[Callable[..., Replica]]:
    """Start a worker for the tiny model; keywords go to its version (max_rows, delay_s …). Killed after the test."""
    started: list[Replica] = []

    def start(*flags: str, lifeline: int | None = None, job: Job | None = None, **version: float) -> Replica:
        name = f"tiny-1-main-{len(started)}"
        job = job or make_job(short_tmp, tiny_version(short_tmp / "store", **version), name)
        log = short_tmp / f"{name}.log"
        started.append(Replica(job, start_worker(job, *flags, lifeline=lifeline, log=log), log))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(5)
