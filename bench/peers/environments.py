"""Virtual environments of the peers, one each, made from PyPI by `python -m bench.peers --setup`."""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.deployment import ROOT
from bench.peers.roster import MODEL_PACKAGES, Peer

DEFAULT = ROOT / ".venv-peers"
INSTALL_S = 1800
DONE = ".installed"


def python_of(environments: Path, peer: Peer) -> Path:
    return environments / peer.name / "bin" / "python"


def is_made(environments: Path, peer: Peer) -> bool:
    mark = environments / peer.name / DONE
    return mark.is_file() and mark.read_text().split() == wanted(peer)


def wanted(peer: Peer) -> list[str]:
    return [torch_requirement(), *MODEL_PACKAGES, *peer.packages]


def torch_requirement() -> str:
    return (ROOT / "requirements" / "torch.txt").read_text().split()[0]


def make(environments: Path, peer: Peer) -> None:
    """Torch first and by itself, as our own environment gets it: a resolver might bring the CUDA build."""
    folder = environments / peer.name
    if folder.exists() and not python_of(environments, peer).exists():
        shutil.rmtree(folder)
    if not folder.exists():
        environments.mkdir(parents=True, exist_ok=True)
        subprocess.run([base_python(peer), "-m", "venv", str(folder)], check=True, timeout=120)
    torch, *others = wanted(peer)
    for packages in ([torch], others):
        command = [str(python_of(environments, peer)), "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(command, check=True, timeout=INSTALL_S)
    (folder / DONE).write_text("\n".join(wanted(peer)) + "\n")


def base_python(peer: Peer) -> str:
    name = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    return name if peer.system_python and Path(name).exists() else sys.executable
