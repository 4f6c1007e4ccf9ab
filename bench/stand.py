"""A gateway and one real worker of the tiny model (W1), without a controller: for benches of the gateway itself.

Documents lie in a folder, as a controller would have left them; the gateway starts from there and follows it. So a
bench decides what the gateway knows (ten thousand models), how many of its processes run, and when one is killed.
"""

import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import msgspec
import psutil

from bench.deployment import READY_S, ROOT, Deployment, free_port, version_of
from bench.peers.switchyard import write_version
from bench.peers.works import request
from inference import spec, status
from inference.drivers.base import Job
from inference.spec import Document, ModelSpec, QueuePolicy, Traffic, Version, Weight

MODEL = "w1"
EPOCH = "bench"
STOP_S = 30.0
QUEUE = QueuePolicy(max_requests=4096)  # all the clients of a bench may wait, however many they are


@dataclass
class Gateway:
    """A running gateway and where to reach it."""

    process: psutil.Popen
    at: Deployment
    log: Path
    started_s: float  # from its start until it answered

    @property
    def infer_url(self) -> str:
        return f"{self.at.url}/v2/models/{MODEL}/infer"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.at.key}"}

    def processes(self) -> list[psutil.Process]:
        """Those that answer clients: its children, or itself where it has none."""
        return self.process.children() or [self.process]

    def rss_mb(self) -> float:
        return sum(process.memory_info().rss for process in self.processes()) / 2**20

    def cpu_s(self) -> float:
        """User and system time spent by those that answer clients."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())


@dataclass
class Stand:
    """One node: `folder/data` with its documents, the worker, and gateways that are started on it."""

    folder: Path
    key: str = field(default_factory=lambda: f"sy_bench000_{secrets.token_urlsafe(32)}")
    version: Version = field(init=False)
    worker: subprocess.Popen[bytes] = field(init=False)
    body: Path = field(init=False)

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        (self.data / "run").mkdir(parents=True)
        recipe = self.folder / "recipe"
        (recipe / "files").mkdir(parents=True)
        write_version(MODEL, self.folder, recipe)
        version = version_of(recipe, self.folder / "store", 1, threads=1, max_batch=32)
        units = tuple(msgspec.structs.replace(unit, queue=QUEUE) for unit in version.units)
        self.version = msgspec.structs.replace(version, units=units)
        self.body = self.folder / "body.json"
        self.body.write_text(json.dumps(request(MODEL), separators=(",", ":")))
        self.worker = self.start_worker()

    def start_worker(self) -> subprocess.Popen[bytes]:
        replica = f"{MODEL}-1-main-0"
        job = Job(
            replica=replica, pool="default", node="local", model=MODEL, version=self.version, unit="main",
            device="cpu", threads=1, address=f"unix:{self.data}/run/{replica}.sock", data=str(self.data),
        )  # fmt: skip
        endpoint = status.Endpoint(
            replica=replica, address=job.address, model=MODEL, version=1, digest=self.version.digest, unit="main",
            device="cpu", state=status.ReplicaState.READY,
        )  # fmt: skip
        digest = hashlib.sha256(self.key.encode()).hexdigest()
        keys = (spec.ApiKey(id="k1", name="bench", sha256=digest, scopes=("infer",)),)
        self.lay("spec", MODEL, one_model(MODEL, self.version))
        self.lay("keys", spec.KEYS_NAME, spec.KeysSpec(epoch=EPOCH, generation=1, keys=keys))
        self.lay("endpoints", "default", status.Endpoints(pool="default", fence=1, revision=1, replicas=(endpoint,)))
        with (self.folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "inference", "worker"], cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        assert worker.stdin is not None
        worker.stdin.write(spec.encode(job) + b"\n")
        worker.stdin.close()
        return worker

    def lay(self, kind: str, key: str, document: Document) -> None:
        """Put a document where the gateway will find it at its start: without the care that a running one needs."""
        path = self.data / "documents" / kind / f"{quote(key, safe='')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(spec.encode(document))

    @contextlib.contextmanager
    def gateway(self, *flags: str, **environment: str) -> Iterator[Gateway]:
        """Until the block ends. Raises TimeoutError, or RuntimeError for one that ends at once."""
        port, admin_port = free_port(), free_port()
        log = self.folder / f"gateway-{port}.log"
        command = [sys.executable, "-m", "inference", "gateway", "--data", str(self.data), "--port", str(port)]
        command += ["--admin-port", str(admin_port), "--grpc-port", "0", *flags]
        began_s = time.monotonic()
        with log.open("wb") as output:
            process = psutil.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=os.environ | {"REDIS_URL": "", "SWITCHYARD_LOG_FORMAT": "json"} | environment,
            )  # fmt: skip
        at = Deployment(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", self.key, self.data)
        try:
            wait_listening(port, process, log)
            started_s = time.monotonic() - began_s
            at.wait_ready(MODEL)
            yield Gateway(process, at, log, started_s)
        finally:
            stop(process)

    def close(self) -> None:
        self.worker.terminate()
        self.worker.wait(STOP_S)


@contextlib.contextmanager
def open_stand(folder: Path) -> Iterator[Stand]:
    stand = Stand(folder)
    try:
        yield stand
    finally:
        stand.close()


def one_model(name: str, *versions: Version, generation: int = 1) -> ModelSpec:
    """Its first version gets all the traffic."""
    weights = (Weight(version=versions[0].number, percent=100),)
    return ModelSpec(name=name, epoch=EPOCH, generation=generation, versions=versions, traffic=Traffic(weights=weights))


def wait_listening(port: int, process: psutil.Popen, log: Path) -> None:
    end_s = time.monotonic() + READY_S
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        if any(line.laddr.port == port and line.status == psutil.CONN_LISTEN for line in connections_of(process)):
            return
        time.sleep(0.01)
    raise TimeoutError(f"the gateway did not listen within {READY_S:.0f} s; see {log}")


def connections_of(process: psutil.Popen) -> list[psutil._common.pconn]:
    family = [process, *process.children()]
    return [line for one in family for line in one.connections("tcp")]


def stop(process: psutil.Popen) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)
