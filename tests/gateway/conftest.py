"""A gateway as a process of its own, replicas with toy models behind it, documents in a folder: no mocks between."""

import contextlib
import hashlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.machine import free_ports

from inference.drivers.base import Job
from inference.spec import (
    KEYS_NAME,
    ApiKey,
    Artifact,
    BatchPolicy,
    Document,
    Format,
    KeysSpec,
    ModelSpec,
    QueuePolicy,
    Signature,
    Stage,
    StageKind,
    TensorSpec,
    Traffic,
    Unit,
    Version,
    Weight,
    encode,
    version_digest,
)
from inference.status import Effective, Endpoint, Endpoints, ReplicaState
from inference.sync.files import DocumentFolder

KEY = "sy_testtest_all"
READ_KEY = "sy_testtest_read"
OPERATE_KEY = "sy_testtest_operate"
LIMITED_KEY = "sy_testtest_limited"
EXPIRED_KEY = "sy_testtest_expired"
REPO = Path(__file__).parents[2]
DATATYPES = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32",
             "FP64", "BYTES")  # fmt: skip


def make_signature(*tensors: tuple[str, str, tuple[int, ...], str], **options: Any) -> Signature:
    """(input name, datatype, shape, output name) each: the toy gives each input back as the output of its place."""
    return Signature(
        inputs=tuple(TensorSpec(name=name, datatype=kind, shape=shape, **options) for name, kind, shape, _ in tensors),
        outputs=tuple(TensorSpec(name=out, datatype=kind, shape=shape) for _, kind, shape, out in tensors),
    )


def make_version(number: int, signature: Signature, **unit: Any) -> Version:
    """A version of one fused unit."""
    stage = Stage(name="infer", kind=StageKind.INFER, signature=signature)
    artifact = Artifact(digest=hashlib.sha256(b"%d" % number).hexdigest(), files=(), store="file:///nowhere")
    return Version(
        number=number,
        digest=version_digest(artifact.digest, signature, (stage,)),
        format=Format.ONNX,
        artifact=artifact,
        signature=signature,
        stages=(stage,),
        units=(Unit(name="main", stages=("infer",), **unit),),
    )


def make_chain(number: int, datatype: str = "FP32") -> Version:
    """Three stages, each a unit of its own: text → ids → scores → label."""

    def stage(name: str, kind: StageKind, takes: str, gives: str) -> Stage:
        return Stage(name=name, kind=kind, signature=make_signature((takes, datatype, (-1, 2), gives)))

    stages = (
        stage("prepare", StageKind.PREPROCESS, "text", "ids"),
        stage("model", StageKind.INFER, "ids", "scores"),
        stage("choose", StageKind.POSTPROCESS, "scores", "label"),
    )
    signature = make_signature(("text", datatype, (-1, 2), "label"))
    artifact = Artifact(digest=hashlib.sha256(b"chain%d" % number).hexdigest(), files=(), store="file:///nowhere")
    return Version(
        number=number,
        digest=version_digest(artifact.digest, signature, stages),
        format=Format.PT2,
        artifact=artifact,
        signature=signature,
        stages=stages,
        units=tuple(Unit(name=stage.name, stages=(stage.name,)) for stage in stages),
    )


def make_model(name: str, *versions: Version, generation: int = 1, **fields: Any) -> ModelSpec:
    fields.setdefault("traffic", Traffic(weights=(Weight(version=versions[0].number, percent=100),)))
    return ModelSpec(name=name, epoch="e", generation=generation, versions=versions, **fields)


LINEAR = make_signature(("x", "FP32", (-1, 4), "y"))


class Running:
    """A gateway process and how to talk to it."""

    def __init__(self, process: subprocess.Popen[str], log: Path):
        self.process = process
        self.log = log
        said = self.wait_for("gateway_listens")
        self.url, self.admin_url = said["url"], said["admin_url"]
        self.host, _, port = self.url.partition("://")[2].rpartition(":")
        self.port = int(port)
        self.grpc_url = f"{self.host}:{said['grpc_port']}"  # as gRPC's clients want it

    def lines(self) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def wait_for(self, event: str, count: int = 1, deadline_s: float = 15.0) -> dict[str, Any]:
        end_s = time.monotonic() + deadline_s
        while time.monotonic() < end_s:
            found = [line for line in self.lines() if line.get("event") == event]
            if len(found) >= count:
                return found[-1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"No {event} x {count} in the gateway's log:\n{self.log.read_text()[-4000:]}")

    def call(
        self, method: str, path: str, body: Any = None, key: str | None = KEY, admin: bool = False, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """(status, body, headers); JSON bodies both ways, bytes as they are."""
        port = int(self.admin_url.rpartition(":")[2]) if admin else self.port
        connection = http.client.HTTPConnection(self.host, port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            raw = answer.read()
            got = {name.lower(): value for name, value in answer.getheaders()}
            is_json = got.get("content-type") == "application/json" and raw
            return answer.status, json.loads(raw) if is_json else raw, got
        finally:
            connection.close()

    def infer(self, x: list[float], model: str = "linear", version: str = "", **headers: str) -> tuple[int, Any, dict]:
        path = f"/v2/models/{model}{f'/versions/{version}' if version else ''}/infer"
        return self.call("POST", path, linear_body(x), **headers)

    def metric(self, name: str, **labels: str) -> float:
        _, text, _ = self.call("GET", "/metrics", admin=True)
        total = 0.0
        for line in text.decode().splitlines():
            if line.split("{")[0].split(" ")[0] == name and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total


def linear_body(x: list[float]) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(x) // 4, 4], "data": x}]}


class Site:
    """One node: its data folder, its replicas, its gateways."""

    def __init__(self, folder: Path):
        self.data = folder
        (folder / "documents").mkdir(parents=True)
        self.documents = DocumentFolder(folder / "documents")
        self.workers: dict[str, subprocess.Popen[str]] = {}
        self.jobs: dict[str, Job] = {}
        self.replicas: dict[str, Endpoint] = {}
        self.revision = 0
        self.gateways: list[Running] = []
        self.publish("keys", KEYS_NAME, make_keys())

    def publish(self, kind: str, key: str, document: Document) -> None:
        assert self.documents.write(kind, key, document)

    def serve(self, model: ModelSpec, replicas: int = 1, **environ: str) -> None:
        """Publish a model and start its replicas."""
        self.publish("spec", model.name, model)
        for version in model.versions:
            for unit in version.units:
                for number in range(replicas):
                    self.start_worker(model, version, unit, number, **environ)
        self.publish_endpoints()

    def start_worker(self, model: ModelSpec, version: Version, unit: Unit, number: int, **environ: str) -> str:
        replica = f"{model.name}-{version.number}-{unit.name}-{number}"
        address = f"unix:{self.data}/{len(self.jobs)}.sock"
        self.jobs[replica] = Job(
            replica=replica, pool="default", node="local", model=model.name, version=version, unit=unit.name,
            device="cpu", threads=1, address=address, data=str(self.data),
        )  # fmt: skip
        self.replicas[replica] = Endpoint(
            replica=replica, address=address, model=model.name, version=version.number, digest=version.digest,
            unit=unit.name, device="cpu", state=ReplicaState.READY,
        )  # fmt: skip
        self.restart_worker(replica, **environ)
        return replica

    def restart_worker(self, replica: str, **environ: str) -> None:
        """Start the replica's process, anew where one ran before, and wait until it grants."""
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("toy_worker.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO,
            env={**os.environ, "PYTHONPATH": str(REPO), **environ},
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(self.jobs[replica]).decode() + "\n")
        process.stdin.close()
        assert process.stdout.readline(), "the toy worker did not start"
        self.workers[replica] = process

    def kill_worker(self, replica: str) -> None:
        self.workers[replica].kill()
        self.workers[replica].wait()

    def publish_endpoints(self) -> None:
        self.revision += 1
        replicas = tuple(self.replicas.values())
        self.publish(
            "endpoints", "default", Endpoints(pool="default", fence=1, revision=self.revision, replicas=replicas)
        )

    def publish_effective(self, model: str, *weights: tuple[int, float], generation: int = 1) -> None:
        self.revision += 1
        self.publish(
            "effective", model,
            Effective(name=model, epoch="e", generation=generation, fence=1, revision=self.revision,
                      weights=tuple(Weight(version=v, percent=p) for v, p in weights)),
        )  # fmt: skip

    def start_gateway(self, *flags: str, pass_fds: tuple[int, ...] = (), **environ: str) -> Running:
        log = self.data / f"gateway{len(self.gateways)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "inference", "gateway", "--data", str(self.data), "--port", "0",
                 "--admin-port", "0", *flags],
                stdout=file, stderr=subprocess.STDOUT, text=True, cwd=REPO, pass_fds=pass_fds,
                env={**os.environ, "REDIS_URL": "", "SWITCHYARD_LOG_FORMAT": "json", **environ},
            )  # fmt: skip
        try:
            running = Running(process, log)
        except BaseException:
            process.kill()
            raise
        self.gateways.append(running)
        return running

    def close(self) -> None:
        for gateway in self.gateways:
            gateway.process.terminate()
        for worker in self.workers.values():
            worker.kill()
            worker.wait()
            assert worker.stdout is not None
            worker.stdout.close()
        for gateway in self.gateways:
            try:
                gateway.process.wait(30)
            except subprocess.TimeoutExpired:
                gateway.process.kill()
                raise


def make_keys(generation: int = 1, without: str = "") -> KeysSpec:
    def key(text: str, *scopes: str, **more: Any) -> ApiKey:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return ApiKey(id=text[-8:], name=text, sha256=digest, scopes=scopes, **more)

    keys = (
        key(KEY, "infer"),
        key(READ_KEY, "read"),
        key(OPERATE_KEY, "operate"),
        key(LIMITED_KEY, "infer", models=("other",)),
        key(EXPIRED_KEY, "infer", expires_at_s=1.0),
    )
    return KeysSpec(epoch="e", generation=generation, keys=tuple(k for k in keys if k.name != without))


@contextlib.contextmanager
def open_site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="sy-", ignore_cleanup_errors=True) as folder:
        site = Site(Path(folder))
        try:
            yield site
        finally:
            site.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A node of the test's own."""
    with open_site() as made:
        yield made


@pytest.fixture(scope="package")
def new_site() -> Callable[[], contextlib.AbstractContextManager[Site]]:
    """For fixtures that live longer than one test."""
    return open_site


@pytest.fixture(scope="package")
def shared() -> Iterator[Running]:
    """One gateway for all tests that leave it as it was: models linear, golden (14 datatypes), chain, strict, idle."""
    with open_site() as made:
        made.serve(make_model("linear", make_version(1, LINEAR), make_version(2, LINEAR), aliases={"best": 2}))
        tensors = [(f"in_{kind}", kind, (-1, 3), f"out_{kind}") for kind in DATATYPES]
        made.serve(make_model("golden", make_version(1, make_signature(*tensors))))
        made.serve(make_model("chain", make_chain(1)))
        made.serve(make_model("strict", make_version(1, make_signature(("x", "FP32", (-1, 4), "y"), finite=True))))
        made.publish("spec", "idle", make_model("idle", make_version(1, LINEAR)))
        yield made.start_gateway("--grpc-port", str(free_ports(1)[0]))


@pytest.fixture(scope="session")
def builders() -> dict[str, Callable[..., Any]]:
    """Makers of documents, for tests that publish their own."""
    return {
        "signature": make_signature, "version": make_version, "model": make_model, "chain": make_chain,
        "batch": BatchPolicy, "queue": QueuePolicy, "keys": make_keys,
    }  # fmt: skip
