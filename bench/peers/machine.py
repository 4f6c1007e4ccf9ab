"""Which machine, which code: what a figure means nothing without."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bench.deployment import ROOT


def describe() -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": output(["git", "rev-parse", "--short", "HEAD"]),
        "uncommitted": bool(output(["git", "status", "--porcelain", "--", "inference"])),
        "machine": {
            "cpu": processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
        },
    }


def processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load_average() -> list[float]:
    """Over 1, 5 and 15 minutes. Before a run it should be near 0."""
    return [round(value, 2) for value in os.getloadavg()]


def output(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30).stdout.strip()
