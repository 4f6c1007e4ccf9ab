"""The supervisor: start in order, restart what died, hold down what it is told to, stop in order.

Children write their logs straight to files and never to a pipe of ours: were `up` killed, a pipe would break under
them in the middle of a drain. Each runs in a session of its own, so that a Ctrl-C reaches `up` alone, which then
stops them one after another.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from console.supervisor.descendants import reap_orphan
from console.supervisor.programs import BASE_DIR, Program
from inference import lifeline

POLL_S = 0.05
STEADY_S = 30.0  # alive this long: the next crash starts again from the shortest back-off
BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
PR_SET_PDEATHSIG = 1


class StartFailed(Exception):
    """A program did not become ready in time; the message ends with the last lines of its log."""


def die_with_parent() -> None:
    """Runs in the child, before exec: the kernel sends SIGTERM when `up` is gone. Linux only, as is its need."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class Child:
    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    crashes: int = 0
    restarts: int = 0
    retry_at: float = 0.0
    held: bool = False

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.poll() is None else None


@dataclass(slots=True)
class Supervisor:
    """Owns the lifeline and every child. `on_change` is called after each start and stop (pids have changed)."""

    environment: dict[str, str]
    log_dir: Path
    say: Callable[[str], None]
    on_change: Callable[[], None] = lambda: None
    children: dict[str, Child] = field(default_factory=dict)
    lifeline_read: int = -1
    lifeline_write: int = -1
    stopping: bool = False

    def __post_init__(self) -> None:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        self.lifeline_read, self.lifeline_write = lifeline.open_lifeline()

    async def start(self, program: Program, deadline_s: float) -> float:
        """Start and wait until ready; return the seconds it took. Raises StartFailed."""
        child = self.children.setdefault(program.name, Child(program, self.log_dir / f"{program.name}.log"))
        began = time.monotonic()
        self.spawn(child)
        while not await program.ready():
            if child.pid is None and not child.held:
                raise StartFailed(f"{program.name} ended at once. {last_words(child.log)}")
            if time.monotonic() - began > deadline_s:
                raise StartFailed(f"{program.name} was not ready within {deadline_s:.0f} s. {last_words(child.log)}")
            await asyncio.sleep(POLL_S)
        return time.monotonic() - began

    def spawn(self, child: Child) -> None:
        program = child.program
        with child.log.open("ab") as log:
            child.process = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=BASE_DIR,
                env=self.environment | {lifeline.VARIABLE: str(self.lifeline_read)} | program.environment,
                pass_fds=(self.lifeline_read,),
                start_new_session=True,
                preexec_fn=die_with_parent if program.tether else None,
            )
        child.started_at = time.monotonic()
        self.on_change()

    async def watch(self) -> None:
        """Restart what died, with back-off, until `stop` is called."""
        while not self.stopping:
            for child in self.children.values():
                self.mend(child, time.monotonic())
            reap_orphan(self.pids())
            await asyncio.sleep(POLL_S)

    def pids(self) -> set[int]:
        """Children of ours, ended ones included until their exit code was seen."""
        return {child.process.pid for child in self.children.values() if child.process}

    def mend(self, child: Child, now: float) -> None:
        if child.held or child.process is None or child.process.poll() is None:
            return
        if not child.retry_at:
            code = child.process.returncode
            child.crashes = 0 if now - child.started_at > STEADY_S else child.crashes
            delay = BACKOFF_S[min(child.crashes, len(BACKOFF_S) - 1)]
            child.crashes, child.retry_at = child.crashes + 1, now + delay
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self.say(f"{child.program.name} ended ({how}); starting it again in {delay:g} s")
            self.on_change()
        elif now >= child.retry_at:
            child.retry_at = 0.0
            child.restarts += 1
            self.spawn(child)

    async def hold(self, name: str) -> None:
        """Stop a program and keep it down until `release`."""
        child = self.children[name]
        child.held = True
        await self.end(child)
        self.say(f"{name} is held down; `manage.py up --start {name}` lets it go")

    def release(self, name: str) -> None:
        child = self.children[name]
        if child.held:
            child.held, child.retry_at, child.crashes = False, 0.0, 0
            self.spawn(child)

    async def end(self, child: Child) -> None:
        """SIGTERM, then SIGKILL to the whole session of the child after its drain time."""
        process = child.process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        end = time.monotonic() + child.program.drain_s
        while process.poll() is None and time.monotonic() < end:
            await asyncio.sleep(POLL_S)
        if process.poll() is None:
            self.say(f"{child.program.name} did not stop within {child.program.drain_s:g} s; killing it")
            kill_session(process.pid)
            process.wait(5)
        self.on_change()

    async def stop(self, order: tuple[tuple[str, ...], ...], before_last: Callable[[], object]) -> None:
        """Stop group after group (programs of a group together). The lifeline ends before the last group."""
        self.stopping = True
        for group in order[:-1]:
            await asyncio.gather(*(self.end(self.children[name]) for name in group if name in self.children))
        self.cut_lifeline()
        await asyncio.to_thread(before_last)
        await asyncio.gather(*(self.end(self.children[name]) for name in order[-1] if name in self.children))

    def cut_lifeline(self) -> None:
        """Whatever still holds the read end drains and exits."""
        if self.lifeline_write >= 0:
            os.close(self.lifeline_write)
            self.lifeline_write = -1

    def kill(self) -> None:
        """At once, without draining: the second Ctrl-C."""
        self.stopping = True
        for child in self.children.values():
            if child.pid:
                kill_session(child.pid)
        self.cut_lifeline()


def kill_session(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def last_words(log: Path, lines: int = 12) -> str:
    """The end of a log, for an error message."""
    text = log.read_text(errors="replace")[-4000:].strip().splitlines()[-lines:] if log.exists() else []
    return "Its log ends with:\n  " + "\n  ".join(text) + f"\nThe whole of it: {log}" if text else f"Its log: {log}"
