"""Real worker processes with the smallest real model: ONNX, y = 2x + 1."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from inference.drivers.base import Job
from inference.spec import (
    Artifact,
    ArtifactFile,
    BatchPolicy,
    Format,
    Signature,
    Stage,
    StageKind,
    TensorSpec,
    Unit,
    Version,
    artifact_digest,
    version_digest,
)

ROOT = Path(__file__).resolve().parents[2]
X = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
Y = TensorSpec(name="y", datatype="FP32", shape=(-1, 4))


def store_file(store: Path, path: str, content: bytes) -> ArtifactFile:
    """Put content into a store as the console does, and list it."""
    sha256 = hashlib.sha256(content).hexdigest()
    target = store / "sha256" / sha256[:2] / sha256
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return ArtifactFile(path=path, sha256=sha256, size_bytes=len(content))


def make_artifact(store: Path, files: dict[str, bytes]) -> Artifact:
    listed = tuple(store_file(store, path, content) for path, content in files.items())
    return Artifact(digest=artifact_digest(listed), files=listed, store=store.as_uri())


def tiny_onnx() -> bytes:
    from onnx import TensorProto, helper

    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in (("two", 2), ("one", 1))]
    nodes = [helper.make_node("Mul", ["x", "two"], ["d"]), helper.make_node("Add", ["d", "one"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def tiny_version(store: Path, number: int = 1, max_rows: int = 8, **delay: float) -> Version:
    """y = 2x + 1, after a pause where `delay_s` or `per_row_s` is given."""
    signature = Signature(inputs=(X,), outputs=(Y,))
    stages = (Stage(name="infer", kind=StageKind.INFER, signature=signature),)
    if delay:
        pause = Stage(name="pause", kind=StageKind.PREPROCESS, use="delay", config=delay, signature=Signature((X,), ()))
        stages = (pause, *stages)
    artifact = make_artifact(store, {"model.onnx": tiny_onnx()})
    unit = Unit(name="main", stages=tuple(stage.name for stage in stages), batch=BatchPolicy(max_size=max_rows))
    return Version(
        number=number,
        digest=version_digest(artifact.digest, signature, stages),
        format=Format.ONNX,
        artifact=artifact,
        signature=signature,
        stages=stages,
        units=(unit,),
    )


def make_job(data: Path, version: Version, replica: str = "tiny-1-main-0", **changes: object) -> Job:
    (data / "run").mkdir(parents=True, exist_ok=True)
    job = Job(
        replica=replica,
        pool="default",
        node="local",
        model="tiny",
        version=version,
        unit=version.units[0].name,
        device="cpu",
        threads=1,
        address=f"unix:{data / 'run' / replica}.sock",
        data=str(data),
    )
    return msgspec.structs.replace(job, **changes)


def start_worker(
    job: Job | None, *flags: str, lifeline: int | None = None, log: Path | None = None
) -> subprocess.Popen[bytes]:
    """A worker process; its job is written to it, and stdin closed, unless it is a spare that waits (`job` None)."""
    environ = {"SWITCHYARD_DRAIN_S": "5", **os.environ}
    if lifeline is not None:
        environ["SWITCHYARD_LIFELINE_FD"] = str(lifeline)
    stderr = log.open("wb") if log is not None else None
    process = subprocess.Popen(
        [sys.executable, "-m", "inference", "worker", *flags],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.PIPE,
        stderr=stderr,
        pass_fds=() if lifeline is None else (lifeline,),
    )
    if job is not None:
        give_job(process, job)
    return process


def give_job(process: subprocess.Popen[bytes], job: Job) -> None:
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(job) + b"\n")
    process.stdin.close()
