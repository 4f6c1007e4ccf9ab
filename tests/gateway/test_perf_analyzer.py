"""Triton's own load generator against the gateway, where its binary runs: it reads config and statistics besides."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

KEY = "sy_testtest_all"
RUN_S = 120


def find_binary() -> str:
    """On the path, or in the package from PyPI. Skips, saying why, where there is none or this system cannot run it."""
    found = shutil.which("perf_analyzer")
    spec = find_spec("perf_analyzer")
    if found is None and spec is not None and spec.submodule_search_locations:
        packed = Path(spec.submodule_search_locations[0]) / "bin" / "perf_analyzer"
        found = str(packed) if packed.is_file() else None
    if found is None:
        pytest.skip("perf_analyzer is not installed; pip install perf-analyzer brings it (glibc 2.38 or later)")
    tried = subprocess.run([found, "--version"], capture_output=True, text=True, check=False, timeout=30)
    if "not found" in tried.stderr or tried.returncode in (126, 127):
        pytest.skip(f"perf_analyzer does not run here: {tried.stderr.splitlines()[0].rpartition(': ')[2]}")
    return found


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_perf_analyzer_measures_a_model(shared: Any, protocol: str) -> None:
    binary = find_binary()
    where = f"{shared.host}:{shared.port}" if protocol == "http" else shared.grpc_url
    done = subprocess.run(
        [binary, "-m", "linear", "-u", where, "-i", protocol, "-H", f"Authorization: Bearer {KEY}", "--shape", "x:4",
         "--concurrency-range", "2", "--measurement-interval", "1000", "--stability-percentage", "999"],
        capture_output=True, text=True, check=False, timeout=RUN_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Throughput" in done.stdout
    assert "Failed" not in done.stdout
