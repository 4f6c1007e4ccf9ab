"""Warm spares: processes that have imported torch and wait on stdin for a job, so a start skips those seconds."""

import contextlib
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from inference.log import get_log

log = get_log()

RETRY_S = 30.0  # after a spare that died: something is wrong that another start will not cure
REST_S = 0.5

Spawn = Callable[..., subprocess.Popen[bytes]]


@dataclass
class Spare:
    process: subprocess.Popen[bytes]
    log_file: Path
    used_s: float = -1.0  # CPU time at the last look
    looked_at_s: float = 0.0
    warm: bool = False

    def look(self, now_s: float) -> None:
        """A spare says nothing; it is warm when it sleeps and has used no CPU between two looks."""
        if self.warm or now_s - self.looked_at_s < REST_S:
            return
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.process.pid)
            times = process.cpu_times()
            used_s = times.user + times.system
            self.warm = process.status() == psutil.STATUS_SLEEPING and used_s == self.used_s and used_s > 0
            self.used_s, self.looked_at_s = used_s, now_s


class Spares:
    def __init__(self, spawn: Spawn, log_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.spawn = spawn
        self.log_dir = log_dir
        self.clock = clock
        self.held: list[Spare] = []
        self.next_start_s = 0.0
        self.started = 0

    def take(self, log_file: Path) -> subprocess.Popen[bytes] | None:
        """A spare, the warmest, its log from now on `log_file`; None when there is none. One half warm helps too."""
        self.bury()
        if not self.held:
            return None
        spare = max(self.held, key=lambda spare: spare.warm)
        self.held.remove(spare)
        with contextlib.suppress(FileNotFoundError):
            log_file.replace(log_file.with_name(f"{log_file.name}.1"))  # why its predecessor ended
        with contextlib.suppress(OSError):
            spare.log_file.replace(log_file)
        return spare.process

    def keep(self, count: int) -> int:
        """Start at most one that is missing, let go of what is too many; how many are warm."""
        self.bury()
        now_s = self.clock()
        while len(self.held) > count:
            spare = self.held.pop()
            spare.process.kill()  # it holds nothing
            spare.process.wait()
            spare.log_file.unlink(missing_ok=True)
        if len(self.held) < count and now_s >= self.next_start_s:
            self.start(now_s)
        for spare in self.held:
            spare.look(now_s)
        return sum(spare.warm for spare in self.held)

    def start(self, now_s: float) -> None:
        self.started += 1
        log_file = self.log_dir / f"spare-{self.started}.log"
        try:
            log_file.unlink(missing_ok=True)
            self.held.append(Spare(self.spawn(log_file, "--spare"), log_file))
        except OSError as error:
            log.warning("spare_not_started", error=str(error))
            self.next_start_s = now_s + RETRY_S

    def bury(self) -> None:
        for spare in list(self.held):
            if spare.process.poll() is not None:
                self.held.remove(spare)
                self.next_start_s = self.clock() + RETRY_S
                log.warning("spare_died", exit_code=spare.process.returncode, log=str(spare.log_file))
