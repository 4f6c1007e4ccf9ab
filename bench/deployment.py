"""The data plane alone, as `python -m inference local --spec` gives it to a user: one model, one key, real workers."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inference import spec

ROOT = Path(__file__).resolve().parents[1]
READY_S = 120.0


@dataclass(frozen=True)
class Deployment:
    url: str
    admin_url: str
    key: str
    data: Path
    grpc: str = ""  # host:port

    def wait_ready(self, model: str, replicas: int = 1) -> None:
        """Until the model answers, and every unit of it has so many replicas: one that still loads takes a core."""
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                self.get(f"/v2/models/{model}/ready")
                groups = self.get(f"/v2/models/{model}/config")["instance_group"]
                if all(group["count"] >= replicas for group in groups):
                    return
            time.sleep(0.1)
        raise TimeoutError(f"{model} was not ready within {READY_S:.0f} s; see {self.data / 'log'}")

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=2) as answer:
            return json.load(answer)


def make_recipe(name: str, out: Path) -> Path:
    """Run one of the demo's recipes; returns its folder (files/ and version.json)."""
    subprocess.run(
        [sys.executable, "-m", "inference", "demo", "--recipe", name, "--out", str(out)], check=True, cwd=ROOT
    )
    return out


def version_of(recipe: Path, store: Path, replicas: int, threads: int, max_batch: int) -> spec.Version:
    """The version document of a recipe's folder, its files put into a content-addressed store."""
    told = json.loads((recipe / "version.json").read_text())
    files = []
    for path in sorted((recipe / "files").rglob("*")):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            home = store / "sha256" / digest[:2] / digest
            home.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, home)
            name = path.relative_to(recipe / "files").as_posix()
            files.append(spec.ArtifactFile(path=name, sha256=digest, size_bytes=path.stat().st_size))
    artifact = spec.Artifact(digest=spec.artifact_digest(files), files=tuple(files), store=f"file://{store}")
    signature = msgspec.convert(told["signature"], spec.Signature)
    stages = msgspec.convert(told["stages"], tuple[spec.Stage, ...])
    units = tuple(
        msgspec.structs.replace(
            unit,
            threads=threads,
            batch=spec.BatchPolicy(max_size=max_batch),
            scale=spec.ScalePolicy(min_replicas=replicas, max_replicas=replicas),
        )
        for unit in msgspec.convert(told["units"], tuple[spec.Unit, ...])
    )
    return spec.Version(
        number=1,
        digest=spec.version_digest(artifact.digest, signature, stages),
        format=spec.Format(told["format"]),
        artifact=artifact,
        signature=signature,
        stages=stages,
        units=units,
    )


@contextlib.contextmanager
def deploy(
    folder: Path, model: str, version: spec.Version, workers: int = 8, *, grpc: bool = False, device: str = "cpu"
) -> Iterator[Deployment]:
    """Serve one version at 100 % until the block ends."""
    key = f"sy_bench000_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    document = spec.LocalSpec(
        models=(
            spec.ModelSpec(
                name=model, epoch="bench", generation=1, versions=(version,),
                traffic=spec.Traffic(weights=(spec.Weight(version=1, percent=100),)),
            ),
        ),
        keys=spec.KeysSpec(
            epoch="bench", generation=1,
            keys=(spec.ApiKey(id="k1", name="bench", sha256=digest, scopes=("infer",)),),
        ),
        pool=spec.PoolSpec(
            name="default", epoch="bench", generation=1, devices=(device,), max_workers=workers, spares=0
        ),
    )  # fmt: skip
    path = folder / "spec.json"
    path.write_bytes(spec.encode(document))
    port, admin_port, grpc_port = free_port(), free_port(), free_port() if grpc else 0
    command = [sys.executable, "-m", "inference", "local", "--spec", str(path), "--data", str(folder / "data")]
    command += ["--port", str(port), "--admin-port", str(admin_port), "--grpc-port", str(grpc_port)]
    with (folder / "local.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    running = Deployment(
        f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", key, folder / "data", f"127.0.0.1:{grpc_port}"
    )
    try:
        running.wait_ready(model, min(unit.scale.min_replicas for unit in version.units))
        yield running
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
