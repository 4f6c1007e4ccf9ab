"""Fill an empty console through its services, so that every page has something to show. Run as a program:

    python tests/browser/seed.py

Versions are small files with a description of their own; nothing here loads a model.
"""

# ruff: noqa: E402  Django must be set up before its models are imported
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

import django

django.setup()

import redis
from django.conf import settings

from console.accounts.models import User
from console.accounts.services import create_admin, create_api_key, create_user
from console.fleet.services import set_pool
from console.lib.actors import SYSTEM
from console.registry.choices import Format, Source
from console.registry.hashing import hash_files
from console.registry.models import Model, Version
from console.registry.services import add_version, create_model, set_alias, update_notes
from console.registry.services.validation import Checklist, Inspected, refuse, settle_version
from console.registry.version_file import VersionFile
from console.serving.services import keep_loaded, set_stable_version
from inference import spec, status
from inference.spec import Signature, Stage, StageKind, TensorSpec, Unit
from inference.status import ReplicaState

PASSWORD = "switchyard-test"
TEXT = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
EMBEDDING = TensorSpec(name="embedding", datatype="FP32", shape=(-1, 384))
TOKENS = tuple(
    TensorSpec(name=name, datatype="INT64", shape=(-1, -1), ragged_axes=(1,)) for name in ("input_ids", "mask")
)
HIDDEN = TensorSpec(name="hidden", datatype="FP32", shape=(-1, -1, 384), ragged_axes=(1,))
IMAGE = TensorSpec(name="image", datatype="BYTES", shape=(-1,))
PIXELS = TensorSpec(name="pixels", datatype="FP32", shape=(-1, 64))
LOGITS = TensorSpec(name="logits", datatype="FP32", shape=(-1, 10))
LABEL = TensorSpec(name="label", datatype="BYTES", shape=(-1, 3))
SCORE = TensorSpec(name="score", datatype="FP32", shape=(-1, 3))


def stage(name: str, kind: StageKind, takes: tuple[TensorSpec, ...], gives: tuple[TensorSpec, ...], use: str) -> Stage:
    return Stage(name=name, kind=kind, signature=Signature(inputs=takes, outputs=gives), use=use)


MINILM = VersionFile(
    signature=Signature(inputs=(TEXT,), outputs=(EMBEDDING,)),
    stages=(
        stage("tokenize", StageKind.PREPROCESS, (TEXT,), TOKENS, "tokenizer"),
        stage("encode", StageKind.INFER, TOKENS, (HIDDEN,), ""),
        stage("pool", StageKind.POSTPROCESS, (HIDDEN, TOKENS[1]), (EMBEDDING,), "pooling"),
    ),
    units=(Unit(name="all", stages=("tokenize", "encode", "pool")),),
)
DIGITS = VersionFile(
    signature=Signature(inputs=(IMAGE,), outputs=(LABEL, SCORE)),
    stages=(
        stage("decode", StageKind.PREPROCESS, (IMAGE,), (PIXELS,), "image"),
        stage("classify", StageKind.INFER, (PIXELS,), (LOGITS,), ""),
        stage("label", StageKind.POSTPROCESS, (LOGITS,), (LABEL, SCORE), "classify"),
    ),
    units=tuple(Unit(name=name, stages=(name,)) for name in ("decode", "classify", "label")),
)


def make_version(model: Model, admin: User, format: Format, made: VersionFile, content: bytes, notes: str) -> Version:
    version = add_version(model=model, format=format, actor=admin, source=Source.UPLOAD)
    with TemporaryDirectory(dir=settings.DATA_DIR) as name:
        folder = Path(name)
        (folder / f"model.{format.value}").write_bytes(content)
        (folder / "config.json").write_text('{"model_type": "bert"}')
        version = settle_version(
            version, folder, hash_files(folder), Checklist(), lambda percent, text="": None,
            made=made, inspected=Inspected(None, parameters=22_713_216),
        )  # fmt: skip
    return update_notes(version=version, notes=notes, seen=version.row_version, actor=admin)


def make_models(admin: User) -> None:
    minilm = create_model(
        name="minilm",
        description="Sentence embeddings, English",
        owner="Search",
        tags=["text", "embedding"],
        slo_latency_p95_s=0.06,
        actor=admin,
    )
    first = make_version(minilm, admin, Format.SAFETENSORS, MINILM, b"one" * 30_000, "first import")
    second = make_version(minilm, admin, Format.ONNX, MINILM, b"two" * 28_000, "exported from v1, same answers to 1e-4")
    refused = add_version(model=minilm, format=Format.TORCHSCRIPT, actor=admin, source=Source.UPLOAD, native=True)
    refuse(refused, Checklist(), "inspect", "The pickle calls os.system, which is not allowed.")
    set_stable_version(model=minilm, to=first, seen=0, actor=admin)
    set_alias(model=minilm, name="candidate", to=second, seen=0, actor=admin)
    keep_loaded(version=second, actor=admin)
    digits = create_model(name="digits", description="Handwritten digits", owner="Vision", actor=admin)
    only = make_version(digits, admin, Format.ONNX, DIGITS, b"digits" * 900, "")
    set_stable_version(model=digits, to=only, seen=0, actor=admin)
    create_model(name="sentiment", description="Registered, no version yet", actor=admin)


def worker(name: str, model: str, unit: str, version: Version, **more: object) -> status.WorkerStatus:
    now = time.time()
    return status.WorkerStatus(
        replica=name, pool="default", node="local", model=model, version=version.number, unit=unit,
        digest=version.digest, device="cpu", device_name="CPU, 2 cores", pid=4242, at_s=now, started_at_s=now - 5400,
        batches=1_204, rows=9_871, busy=status.Reading(value=37.5), device_use=status.Reading(value=62.0),
        memory_used_bytes=status.Reading(value=3.1e9), memory_total_bytes=status.Reading(value=8.3e9),
        rss_bytes=412_000_000,
        **({"state": ReplicaState.READY, "load_s": 1.84} | more),
    )  # fmt: skip


def report(client: redis.Redis) -> None:
    """What a controller, a gateway and workers would have sent this second."""
    versions = {(one.model.name, one.number): one for one in Version.objects.select_related("model")}
    workers = [
        worker("minilm-v1-all-0", "minilm", "all", versions["minilm", 1], in_flight=3),
        worker(
            "minilm-v2-all-0", "minilm", "all", versions["minilm", 2], state=status.ReplicaState.LOADING, load_s=None
        ),
        worker("digits-v1-decode-0", "digits", "decode", versions["digits", 1]),
        worker("digits-v1-classify-0", "digits", "classify", versions["digits", 1], restarts=1),
        worker("digits-v1-label-0", "digits", "label", versions["digits", 1]),
    ]
    for one in workers:
        client.hset(status.WORKERS, one.replica, spec.encode(one))
    now = time.time()
    controller = status.ControllerStatus(id="controller-1", fence=3, at_s=now, pools=("default",), spares=1)
    client.hset(status.CONTROLLER, controller.id, spec.encode(controller))
    gateway = status.GatewayStatus(id="gateway-1", at_s=now, started_at_s=now - 5400, url="http://127.0.0.1:8080")
    client.hset(status.GATEWAYS, gateway.id, spec.encode(gateway))


def main() -> None:
    admin, _ = create_admin(password=PASSWORD)
    create_user(actor=admin, username="vera", password=PASSWORD, role="viewer", email="vera@example.com")
    set_pool(name="default", actor=SYSTEM, devices=["cpu"], max_workers=8, spares=1)
    make_models(admin)
    create_api_key(actor=admin, name="checkout-service", scopes=["infer"], models=["minilm"])


if __name__ == "__main__":
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        if sys.argv[1:] == ["report"]:
            while True:  # until the one who started it ends it
                report(connection)
                time.sleep(1)
        main()
        report(connection)
