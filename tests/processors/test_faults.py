"""Faults on purpose: slow by what was asked for, failing on the same inputs every time."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inference.errors import ModelFailed

TEXT = [("text", "BYTES", (-1,))]
Make = Callable[..., Any]
Rows = Callable[..., np.ndarray]


def test_delay_waits_for_the_batch_and_for_each_row(make_processor: Make, as_rows: Rows) -> None:
    delay = make_processor("delay", TEXT, [], delay_s=0.02, per_row_s=0.01)
    began = time.perf_counter()
    assert delay.run({"text": as_rows(b"a", b"b", b"c")}) == {}
    assert 0.05 <= time.perf_counter() - began < 1


def test_fail_takes_its_share_of_inputs_and_always_the_same(make_processor: Make, as_rows: Rows) -> None:
    def failing(percent: float) -> set[int]:
        fail = make_processor("fail", TEXT, [], percent=percent)
        return {number for number in range(500) if fail.fails(str(number).encode())}

    assert failing(0) == set()
    assert failing(20) == failing(20)
    assert 60 < len(failing(20)) < 140
    assert failing(20) < failing(50) < failing(100)
    assert len(failing(100)) == 500


def test_a_marker_chooses_the_rows(make_processor: Make, as_rows: Rows) -> None:
    fail = make_processor("fail", TEXT, [], contains="poison")
    assert fail.run({"text": as_rows(b"fine", b"well")}) == {}
    with pytest.raises(ModelFailed, match="Row 1"):
        fail.run({"text": as_rows(b"fine", b"a poison b")})


def test_numbers_fail_by_content_too(make_processor: Make) -> None:
    fail = make_processor("fail", [("x", "FP32", (-1, 2))], [])
    with pytest.raises(ModelFailed, match="Row 0"):
        fail.run({"x": np.ones((1, 2), np.float32)})


def test_crash_ends_the_process_at_once() -> None:
    code = """
import numpy as np
from pathlib import Path
from inference.processors.faults import Fail
from inference.spec import Signature, Stage, StageKind, TensorSpec
signature = Signature(inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1,)),), outputs=())
stage = Stage(name="f", kind=StageKind.PREPROCESS, use="fail", signature=signature, config={"how": "crash"})
Fail(stage, Path()).run({"x": np.ones(1)})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
