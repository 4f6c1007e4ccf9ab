"""Faults on purpose: slow and failing stages for demos, drills and tests. They add no tensors and change none."""

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
from msgspec import Meta

from inference.errors import ModelFailed
from inference.processors.base import Array, read_config
from inference.spec import Percent, Stage

Seconds = Annotated[float, Meta(ge=0, le=60)]


class DelayConfig(msgspec.Struct, forbid_unknown_fields=True):
    delay_s: Seconds = 0.05  # for each batch
    per_row_s: Seconds = 0.0


class Delay:
    """Sleeps, as a slower model would keep its caller waiting."""

    on_device: ClassVar[bool] = True
    warms_up: ClassVar[bool] = False
    sample: ClassVar[bytes] = b""

    def __init__(self, stage: Stage, folder: Path):
        self.config = read_config(stage, DelayConfig)
        self.rows_of = stage.signature.inputs[0].name

    def run(self, tensors: dict[str, Array]) -> dict[str, Array]:
        time.sleep(self.config.delay_s + self.config.per_row_s * len(tensors[self.rows_of]))
        return {}


class FailConfig(msgspec.Struct, forbid_unknown_fields=True):
    percent: Percent = 100.0  # of distinct inputs
    contains: str = ""  # only rows of a BYTES input that hold this
    how: Literal["error", "crash"] = "error"  # crash: the process kills itself, as a poison input would


class Fail:
    """Fails on some rows, chosen by their content: the same input fails every time, on every replica."""

    on_device: ClassVar[bool] = False
    warms_up: ClassVar[bool] = False
    sample: ClassVar[bytes] = b""

    def __init__(self, stage: Stage, folder: Path):
        self.config = read_config(stage, FailConfig)
        self.marker = self.config.contains.encode()
        self.watched = stage.signature.inputs[0].name

    def run(self, tensors: dict[str, Array]) -> dict[str, Array]:
        for row, value in enumerate(tensors[self.watched]):
            if self.fails(row_bytes(value)):
                if self.config.how == "crash":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise ModelFailed(f"Row {row} of input {self.watched!r} fails: this version has a 'fail' stage.")
        return {}

    def fails(self, content: bytes) -> bool:
        if self.marker and self.marker not in content:
            return False
        draw = int.from_bytes(hashlib.sha256(content).digest()[:4]) / 2**32
        return draw * 100 < self.config.percent


def row_bytes(value: bytes | np.ndarray) -> bytes:
    return value if isinstance(value, bytes) else np.asarray(value).tobytes()
