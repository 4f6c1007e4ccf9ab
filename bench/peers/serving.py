"""Run one server, ours or a peer's, until the block ends, its answer checked before anybody measures."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench.deployment import ROOT, free_port
from bench.peers.environments import python_of
from bench.peers.roster import Peer
from bench.peers.servers.settings import Settings
from bench.peers.works import Work

READY_S = 180.0
STOP_S = 15.0
ASK_S = 20.0


@dataclass(frozen=True)
class Endpoint:
    url: str
    headers: dict[str, str]
    body: Path


class ServerFailed(Exception):
    """It did not start, or does not answer what the bare model does."""


@contextlib.contextmanager
def serve_peer(peer: Peer, settings: Settings, work: Work, environments: Path, folder: Path) -> Iterator[Endpoint]:
    settings = replace(settings, port=free_port(), folder=str(folder), models=str(environments / "models"))
    body = folder / "body.json"
    body.write_bytes(work.body(as_list=peer.takes_lists))
    url = f"http://127.0.0.1:{settings.port}{peer.path.format(model=settings.model)}"
    environment = os.environ | settings.to_environment() | {
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    command = [str(python_of(environments, peer)), "-m", f"bench.peers.servers.{peer.name}"]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        endpoint = Endpoint(url, {}, body)
        wait_right(endpoint, work, process, log, settings)
        yield endpoint
    finally:
        stop_tree(process)


def wait_right(endpoint: Endpoint, work: Work, process: subprocess.Popen[bytes], log: Path, settings: Settings) -> None:
    """Until it answers, which must be right, and all of its workers are ready. Asking is what makes some load."""
    end, last = time.monotonic() + READY_S, "nothing"
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerFailed(f"it ended with {process.returncode}:\n{last_lines(log)}")
        try:
            check(endpoint, work)
            if settings.count_loaded() >= settings.workers:
                return
            last = f"{settings.count_loaded()} of {settings.workers} workers are ready"
        except OSError as error:
            last = str(error)
        time.sleep(0.25)
    raise ServerFailed(f"it is not ready within {READY_S:.0f} s, but {last}:\n{last_lines(log)}")


def check(endpoint: Endpoint, work: Work) -> None:
    """Raises OSError while there is no answer, ServerFailed for a wrong one."""
    request = urllib.request.Request(
        endpoint.url,
        data=endpoint.body.read_bytes(),
        headers={"Content-Type": "application/json", **endpoint.headers},
    )
    with urllib.request.urlopen(request, timeout=ASK_S) as answer:
        if wrong := work.check(json.load(answer)):
            raise ServerFailed(f"its answer is wrong: {wrong}")


def last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])


def stop_tree(process: subprocess.Popen[bytes]) -> None:
    """TERM to its group; then KILL to whatever it started that is still there, in whatever group."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    for survivor in psutil.wait_procs(family, timeout=1)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_S)
