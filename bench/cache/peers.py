"""The same trace through libcachesim and theine, in an environment of their own, made from PyPI with --setup.

libcachesim is the simulator of the S3-FIFO and SIEVE papers; theine is a W-TinyLFU for Python. Neither is needed by the
product, and neither is imported by it.
"""

import json
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path

from bench.cache.replay import Figures
from bench.deployment import ROOT

PACKAGES = ("libcachesim==0.3.5", "theine==2.0.0")
DEFAULT = ROOT / ".venv-peers" / "cache"
DONE = ".installed"
INSTALL_S, REPLAY_S = 600, 1800
SCRIPT = Path(__file__).with_name("peer_script.py")
# libcachesim's own W-TinyLFU is left out: its default is far below what Caffeine and theine reach on OLTP.
NAMES = {
    "lru": ("libcachesim", "LRU"), "lfu": ("libcachesim", "LFU"), "fifo": ("libcachesim", "FIFO"),
    "arc": ("libcachesim", "ARC"), "s3fifo": ("libcachesim", "S3FIFO"), "sieve": ("libcachesim", "Sieve"),
    "wtinylfu": ("theine", "WTinyLFU"),
}  # fmt: skip
OTHERS = (("libcachesim", "TwoQ"), ("libcachesim", "LIRS"), ("libcachesim", "Belady"))


def is_made(environment: Path) -> bool:
    mark = environment / DONE
    return mark.is_file() and mark.read_text().split() == list(PACKAGES)


def make(environment: Path) -> None:
    """Raises CalledProcessError or TimeoutExpired where PyPI or pip fails."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True, timeout=120)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", *PACKAGES]
    subprocess.run(pip, check=True, timeout=INSTALL_S)
    (environment / DONE).write_text("\n".join(PACKAGES) + "\n")


def replay_peers(
    environment: Path, keys: Sequence[int], capacity: int, wanted: Sequence[tuple[str, str]]
) -> list[Figures]:
    """Each of `wanted`, (library, name there). Raises CalledProcessError with what the library said."""
    if not keys or capacity < 1:
        return []
    with tempfile.NamedTemporaryFile(prefix="sy-keys-") as file:
        array("q", keys).tofile(file)
        file.flush()
        names = [f"{library}:{name}" for library, name in wanted]
        command = [str(environment / "bin" / "python"), str(SCRIPT), file.name, str(capacity), *names]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=REPLAY_S)
    hits = json.loads(done.stdout)
    return [Figures(name, capacity, len(keys), hits[name] / len(keys)) for name in names]
