"""The GPU bench: the same script on a CPU at toy size, and a clear word where there is no GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu import PLAIN, PLAIN_BEST, Figure, verdict

ROOT = Path(__file__).parents[2]


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu", *flags], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )


def test_it_runs_at_toy_size_on_a_cpu_and_gives_plain_torchs_answers():
    done = run("--device", "cpu", "--small", "--batch", "2", "--seconds", "0.1", "--repeat", "1", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["way"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows[PLAIN]["ratio"] == rows[PLAIN_BEST]["ratio_to_best"] == 1
    assert rows["as it is"]["difference"] < 1e-5
    assert 0 < rows["bf16, channels_last"]["difference"] < 0.05
    assert all(row["rows_per_s"] > 0 and row["gpu_busy_percent"] is None for row in rows.values())


def test_without_a_gpu_it_says_so_and_measures_nothing():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs a GPU" in done.stderr


def test_the_model_has_the_size_of_resnet_50():
    from bench.resnet import make_resnet

    assert sum(weight.numel() for weight in make_resnet().parameters()) == 25_557_032


@pytest.mark.parametrize("busy, said", [(97.0, "met"), (80.0, "missed")])
def test_the_verdict_holds_the_fastest_way_against_the_goal(busy: float, said: str):
    slow = Figure(PLAIN, 100, 1, 0.5, 60, 0)
    fast = Figure("as it is", 240, 2.4, 1.2, busy, 0)
    assert verdict([slow, fast], "cuda:0").endswith(f"95 % is the goal: {said}.")
    assert "1.20 times" in verdict([slow, fast], "cuda:0")
