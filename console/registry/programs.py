"""Running a tool of the data plane (`python -m inference …`) from a job: own process, bounded in every direction.

The console never imports a model library; whatever such a file does, it does it to a child with limits on time,
memory and file size, without the console's secrets in its environment, and killed with all its children at the end.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from console.lib.errors import ConsoleError

POLL_S = 0.1
MAX_OUTPUT_BYTES = 8 * 1024**2
KEPT_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "HF_HUB_OFFLINE",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "OMP_NUM_THREADS",
)
ROOT = Path(__file__).resolve().parents[2]

Progress = Callable[[float, str], None]  # percent, message; may raise to end the work


def unheard(percent: float, message: str) -> None:
    """Progress that nobody follows."""


class ProgramFailed(ConsoleError):
    """The tool ended badly; `code` and message are its own where it gave them."""

    def __init__(self, message: str, code: str = "program_failed"):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ProgramLimits:
    wall_s: float = 300.0
    cpu_s: int = 600
    data_bytes: int = 8 * 1024**3  # private writable memory
    file_bytes: int = 16 * 1024**3


def run_program(arguments: list[str], *, limits: ProgramLimits, on_wait: Callable[[float], None]) -> dict[str, Any]:
    """Run `python -m inference <arguments>` and return the JSON object it prints.

    `on_wait(seconds so far)` is called ten times a second; what it raises ends the program.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "inference", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=ROOT,
            env={name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | {"HF_HUB_OFFLINE": "1"},
            start_new_session=True,
        )
        try:
            limit_process(process.pid, limits)
            began = time.monotonic()
            while process.poll() is None:
                waited = time.monotonic() - began
                if waited > limits.wall_s:
                    raise ProgramFailed(
                        f"'inference {arguments[0]}' did not finish within {limits.wall_s:.0f} s and was stopped.",
                        "program_timeout",
                    )
                on_wait(waited)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
        finally:
            kill_group(process)
        out.seek(0)
        err.seek(0)
        return read_answer(arguments[0], process.returncode, out.read(MAX_OUTPUT_BYTES + 1), tail_of(err.read()))


def limit_process(pid: int, limits: ProgramLimits) -> None:
    """Set from outside, in the first instants of a child that is still importing Python itself."""
    wanted = {
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_DATA: limits.data_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_CORE: 0,
    }
    with contextlib.suppress(ProcessLookupError):
        for kind, value in wanted.items():
            _, hard = resource.prlimit(pid, kind)
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, kind, (most, most))


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started; its process group is its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_answer(program: str, exit_code: int, out: bytes, err_tail: str) -> dict[str, Any]:
    if len(out) > MAX_OUTPUT_BYTES:
        raise ProgramFailed(f"'inference {program}' printed more than {MAX_OUTPUT_BYTES} bytes.")
    try:
        answer = msgspec.json.decode(out) if out.strip() else {}
    except msgspec.DecodeError:
        answer = {}
    if not isinstance(answer, dict):
        answer = {}
    if error := answer.get("error"):
        raise ProgramFailed(str(error.get("message", "no reason given")), str(error.get("code", "program_failed")))
    if exit_code == -signal.SIGKILL or exit_code == -signal.SIGXCPU:
        raise ProgramFailed(f"'inference {program}' was killed: it used more memory or time than it is allowed.")
    if exit_code != 0:
        why = err_tail.strip().splitlines()[-1:] or ["it said nothing"]
        raise ProgramFailed(f"'inference {program}' ended with {exit_code}: {why[0][:300]}")
    return answer


def tail_of(raw: bytes, size: int = 4_000) -> str:
    return raw[-size:].decode(errors="replace")
