"""Workers as processes of this machine.

A worker belongs to the machine, not to the controller that started it: it has a session of its own, takes the lifeline
on, and writes a run file. A controller that starts later finds it there and adopts it; the pid is trusted only together
with the process's start time.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from inference.drivers.base import Gone, Job, Running
from inference.drivers.log_files import bound_log, open_log, prune_logs, read_tail
from inference.drivers.run_files import (
    RunFile,
    is_alive,
    read_run_files,
    remove_run_file,
    send_signal,
    start_ticks,
)
from inference.drivers.spares import Spares
from inference.lifeline import lifeline_fd
from inference.log import get_log
from inference.spec import Format, StageKind, encode

log = get_log()

COMMAND = (sys.executable, "-m", "inference", "worker")
HOUSEKEEPING_S = 10.0
TORCH_FORMATS = (Format.SAFETENSORS, Format.PT2, Format.TORCHSCRIPT)


@dataclass
class Worker:
    """A living worker. `process` is ours to reap; an adopted one has none."""

    file: RunFile
    process: subprocess.Popen[bytes] | None = None
    kill_at_s: float | None = None

    def alive(self) -> bool:
        return self.process.poll() is None if self.process is not None else is_alive(self.file)


class LocalDriver:
    """Not thread-safe: one controller calls it."""

    def __init__(
        self, data: Path, command: Sequence[str] = COMMAND, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.run_dir = data / "run"
        self.log_dir = data / "log"
        self.command = command
        self.clock = clock
        self.workers: dict[str, Worker] = {}
        self.gone: list[Gone] = []
        self.spares = Spares(self.spawn, self.log_dir, clock)
        self.next_housekeeping_s = 0.0
        self.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    def start(self, job: Job) -> None:
        self.look()
        if job.replica in self.workers:
            return
        log_file = self.log_dir / f"{job.replica}.log"
        try:
            process = self.spares.take(log_file) if needs_torch(job) else None
            if process is None:
                process = self.spawn(log_file)
            file = RunFile(
                replica=job.replica,
                pid=process.pid,
                started_at_s=time.time(),
                address=job.address,
                model=job.model,
                version=job.version.number,
                digest=job.version.digest,
                unit=job.unit,
                device=job.device,
                start_ticks=start_ticks(process.pid),
            )
        except OSError as error:
            self.gone.append(Gone(job.replica, None, f"The process could not be started: {error}"))
            return
        self.workers[job.replica] = Worker(file, process)
        # A job can be longer than a pipe holds, and the worker reads it only when Python is up.
        threading.Thread(target=hand_over, args=(process.stdin, encode(job)), name="hand-over", daemon=True).start()

    def stop(self, replica: str, drain_s: float) -> None:
        self.look()
        worker = self.workers.get(replica)
        if worker is None:
            return
        deadline_s = self.clock() + drain_s
        worker.kill_at_s = min(worker.kill_at_s or deadline_s, deadline_s)
        send_signal(worker.file, signal.SIGTERM if drain_s > 0 else signal.SIGKILL)

    def running(self) -> list[Running]:
        self.look()
        return [
            Running(
                replica=file.replica,
                pid=file.pid,
                started_at_s=file.started_at_s,
                address=file.address,
                model=file.model,
                version=file.version,
                digest=file.digest,
                unit=file.unit,
                device=file.device,
            )
            for file in (worker.file for worker in self.workers.values())
        ]

    def ended(self) -> list[Gone]:
        self.look()
        gone, self.gone = self.gone, []
        return gone

    def keep_spares(self, count: int) -> int:
        return self.spares.keep(count)

    def spawn(self, log_file: Path, *flags: str) -> subprocess.Popen[bytes]:
        """Raises OSError."""
        fd = lifeline_fd()
        with open_log(log_file) as log_to:
            return subprocess.Popen(
                [*self.command, *flags],
                stdin=subprocess.PIPE,
                stdout=log_to,
                stderr=log_to,
                pass_fds=() if fd is None else (fd,),
                start_new_session=True,  # Ctrl-C in a terminal is for the programs that then tell the workers
            )

    def look(self) -> None:
        """Take the dead out, kill those that drained too long, and adopt what lives and is not known."""
        now_s = self.clock()
        for replica, worker in list(self.workers.items()):
            if not worker.alive():
                self.bury(replica, worker)
            elif worker.kill_at_s is not None and now_s >= worker.kill_at_s:
                send_signal(worker.file, signal.SIGKILL)
        for file in read_run_files(self.run_dir):
            if file.replica in self.workers:
                continue
            if is_alive(file):
                self.workers[file.replica] = Worker(file)
                log.info("worker_adopted", replica=file.replica, pid=file.pid)
            else:
                self.bury(file.replica, Worker(file))
        if now_s >= self.next_housekeeping_s:
            self.next_housekeeping_s = now_s + HOUSEKEEPING_S
            for replica in self.workers:
                bound_log(self.log_dir / f"{replica}.log")
            prune_logs(self.log_dir, self.workers.keys())

    def bury(self, replica: str, worker: Worker) -> None:
        self.workers.pop(replica, None)
        remove_run_file(self.run_dir, replica, worker.file.address)
        exit_code = worker.process.returncode if worker.process is not None else None
        self.gone.append(Gone(replica, exit_code, read_tail(self.log_dir / f"{replica}.log")))


def hand_over(stdin: IO[bytes] | None, job: bytes) -> None:
    """A worker that died before it read its job shows in `ended`."""
    if stdin is not None:
        try:
            with stdin:
                stdin.write(job + b"\n")
        except OSError as error:
            log.warning("job_not_taken", error=str(error))


def needs_torch(job: Job) -> bool:
    """Whether a warm spare saves this worker the import."""
    stages = {stage.name: stage.kind for stage in job.version.stages}
    unit = next((unit for unit in job.version.units if unit.name == job.unit), None)
    infers = unit is not None and any(stages.get(name) is StageKind.INFER for name in unit.stages)
    return infers and job.version.format in TORCH_FORMATS
