"""The supervisor on real processes: starts, restarts, holds, stops, and leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from support.waiting import wait_until

from console.supervisor.programs import Program
from console.supervisor.supervise import StartFailed, Supervisor

PATIENT = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def program(code: str, ready: Callable[[], Awaitable[bool]], drain_s: float = 5.0, tether: bool = False) -> Program:
    return Program("probe", (sys.executable, "-c", code), ready, drain_s, tether)


def says_up(folder: Path) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        log = folder / "probe.log"
        return log.exists() and "up" in log.read_text()

    return ask


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(dict(os.environ), tmp_path, say=lambda _: None)


async def until(what: Callable[[], object], deadline_s: float = 10.0) -> None:
    await asyncio.to_thread(wait_until, what, deadline_s)


async def started(supervisor: Supervisor, code: str, **options: object) -> int:
    await supervisor.start(program(code, says_up(supervisor.log_dir), **options), 10.0)
    pid = supervisor.children["probe"].pid
    assert pid
    return pid


@pytest.mark.asyncio
async def test_a_program_that_ends_at_once_is_said_with_its_last_words(supervisor: Supervisor):
    async def never() -> bool:
        return False

    with pytest.raises(StartFailed, match=r"ended at once(.|\n)*no such lever"):
        await supervisor.start(program("raise SystemExit('no such lever')", never), 10.0)
    supervisor.kill()


@pytest.mark.asyncio
async def test_what_dies_is_started_again_and_what_is_held_is_not(supervisor: Supervisor):
    first = await started(supervisor, PATIENT)
    watcher = asyncio.create_task(supervisor.watch())
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.children["probe"].pid not in (None, first))
    await supervisor.hold("probe")
    assert supervisor.children["probe"].pid is None
    supervisor.release("probe")
    await until(lambda: supervisor.children["probe"].pid)
    supervisor.kill()
    await watcher


@pytest.mark.asyncio
async def test_a_program_that_ignores_sigterm_is_killed_after_its_drain_time(supervisor: Supervisor):
    pid = await started(supervisor, STUBBORN, drain_s=0.3)
    await supervisor.stop((("probe",), ()), before_last=lambda: None)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("tether", [False, True], ids=["by its lifeline", "by the kernel"])
def test_children_end_when_the_supervisor_is_killed(tmp_path: Path, tether: bool):
    reads_lifeline = "import os; print('up', flush=True); os.read(int(os.environ['SWITCHYARD_LIFELINE_FD']), 1)"
    child = "import time; print('up', flush=True); time.sleep(60)" if tether else reads_lifeline
    script = f"""
import asyncio, os, sys
from pathlib import Path
from console.supervisor.programs import Program
from console.supervisor.supervise import Supervisor

async def main():
    folder = Path({str(tmp_path)!r})
    async def ready():
        return "up" in (folder / "probe.log").read_text()
    supervisor = Supervisor(dict(os.environ), folder, print)
    await supervisor.start(Program("probe", (sys.executable, "-c", {child!r}), ready, tether={tether}), 10)
    print(supervisor.children["probe"].pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait(5)
    parent.stdout.close()
    wait_until(lambda: not psutil.pid_exists(pid), 10, "the child is gone too")
