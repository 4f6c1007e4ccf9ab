"""One real machine for the whole folder."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.machine import Machine, all_demo_models, run_up


@pytest.fixture(scope="package")
def machine() -> Iterator[Machine]:
    """A machine whose three demo versions all answer."""
    with (
        tempfile.TemporaryDirectory(prefix="sy-", ignore_cleanup_errors=True) as folder,
        run_up(Path(folder), ready=all_demo_models) as up,
    ):
        yield up
