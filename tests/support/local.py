"""`python -m inference local` with the models of a test, as a person would start it."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.replicas import ROOT

from inference.spec import LocalSpec, ModelSpec, encode


@dataclass
class Local:
    url: str
    key: str
    data: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@contextlib.contextmanager
def run_local(folder: Path, *models: ModelSpec, **environ: str) -> Iterator[Local]:
    """Until the block ends; it begins when every model answers."""
    spec = folder / "spec.json"
    spec.write_bytes(encode(LocalSpec(models=models)))
    data = folder / "data"
    process = subprocess.Popen(
        [sys.executable, "-m", "inference", "local", "--spec", str(spec), "--data", str(data),
         "--port", "0", "--admin-port", "0"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, **environ},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        key = process.stdout.readline().split()[-1]
        ready = process.stdout.readline()
        found = re.search(r"https?://\S+", ready)
        assert found, ready
        yield Local(found[0], key, data)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
