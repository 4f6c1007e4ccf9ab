"""Load by `wrk`: a closed loop of keep-alive connections, one thread."""

import json
import shutil
import subprocess
from pathlib import Path

import msgspec

SCRIPT = Path(__file__).with_name("post.lua")
ANSWER_S = 10  # after that a request counts as an error


class Figures(msgspec.Struct, frozen=True):
    """Of one run. `rps` counts good answers only."""

    rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    busy_percent: float  # of all cores, this and everything else on the machine
    steal_percent: float  # what the hypervisor gave to others


class WrkMissing(Exception):
    def __str__(self) -> str:
        return "wrk is not installed. It is in most distributions: apt-get install wrk."


def find_wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise WrkMissing
    return found


def measure(url: str, body: Path, headers: dict[str, str], clients: int, seconds: int) -> Figures:
    command = [find_wrk(), "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", f"{ANSWER_S}s", "-s", str(SCRIPT)]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    before = cpu_times()
    done = subprocess.run(
        [*command, url, "--", str(body)], capture_output=True, text=True, check=False, timeout=seconds + 3 * ANSWER_S
    )
    total, idle, steal = (after - start for after, start in zip(cpu_times(), before, strict=True))
    lines = [line for line in done.stdout.splitlines() if line.startswith("figures ")]
    if not lines:
        raise RuntimeError(f"wrk printed no figures: {(done.stdout + done.stderr)[-500:]}")
    told = json.loads(lines[-1].removeprefix("figures "))
    # A server that hangs costs wrk no error within its timeout: silence is one.
    errors = told["refused"] + told["failed"] + (told["requests"] == 0)
    return Figures(
        rps=round((told["requests"] - told["refused"]) / told["seconds"], 1),
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        errors=errors,
        busy_percent=round(100 * (1 - idle / total), 1) if total else 0.0,
        steal_percent=round(100 * steal / total, 1) if total else 0.0,
    )


def cpu_times() -> tuple[int, int, int]:
    """All, idle and stolen ticks of all cores since the machine started; zeros where there is no /proc."""
    statistics = Path("/proc/stat")
    if not statistics.exists():
        return 0, 0, 0
    ticks = [int(value) for value in statistics.read_text().splitlines()[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4], ticks[7]
