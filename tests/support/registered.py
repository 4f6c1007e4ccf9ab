"""Models and versions at hand for tests: settled by the real services, with real files in a store of the test's own."""

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console.lib.publish import publisher


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> Path:
    """The console's data folder, new for each test."""
    settings.DATA_DIR = tmp_path / "data"
    settings.ARTIFACT_STORE = f"file://{tmp_path / 'data' / 'store'}"
    settings.DATA_DIR.mkdir()
    publisher.resting_until = 0.0  # a test before this one may have met an absent Redis
    return settings.DATA_DIR


@pytest.fixture
def make_model(db: None) -> Callable[..., Any]:
    from console.lib.actors import SYSTEM
    from console.registry import services

    def make(name: str = "echo", **fields: Any) -> Any:
        return services.create_model(name=name, actor=SYSTEM, **fields)

    return make


@pytest.fixture
def model(make_model: Callable[..., Any]) -> Any:
    return make_model()


@pytest.fixture
def make_version(db: None, tmp_path: Path) -> Callable[..., Any]:
    """A ready version with one small file; each call's bytes differ unless `content` says otherwise."""
    from console.lib.actors import SYSTEM
    from console.registry import services, store
    from console.registry.hashing import hash_files
    from console.registry.programs import unheard
    from console.registry.services import validation
    from console.registry.version_file import VersionFile
    from inference import spec

    def make(model: Any, content: bytes = b"", stages: tuple[Any, ...] = (), **fields: Any) -> Any:
        version = services.add_version(model=model, format="onnx", actor=SYSTEM, source="upload", **fields)
        signature = spec.Signature(
            inputs=(spec.TensorSpec(name="x", datatype="FP32", shape=(-1, 4)),),
            outputs=(spec.TensorSpec(name="y", datatype="FP32", shape=(-1, 4)),),
        )
        stages = stages or (spec.Stage(name="infer", kind=spec.StageKind.INFER, signature=signature),)
        signature = spec.Signature(inputs=stages[0].signature.inputs, outputs=stages[-1].signature.outputs)
        validation.begin_validation(version)
        with store.workspace() as folder:
            (folder / "model.onnx").write_bytes(content or f"{model.name} {version.number}".encode())
            return validation.settle_version(
                version, folder, hash_files(folder), validation.Checklist(), unheard,
                made=VersionFile(signature=signature, stages=stages), inspected=validation.Inspected(None, 4),
            )  # fmt: skip

    return make


def tiny_onnx(scale: float = 2.0) -> bytes:
    """A real graph: y = scale · x, four numbers a row."""
    import onnx
    from onnx import TensorProto, helper

    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    factor = helper.make_tensor("factor", TensorProto.FLOAT, [], [scale])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "factor"], ["y"])], "tiny", [taken], [given], [factor])
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest_header(content: bytes) -> str:
    """`Content-Digest` of a chunk."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def send(upload: Any, content: bytes, chunk_bytes: int = 8 * 1024**2) -> Any:
    """All of `content` from where the upload stands."""
    from console.registry import services

    while upload.offset_bytes < len(content):
        chunk = content[upload.offset_bytes : upload.offset_bytes + chunk_bytes]
        upload = services.append_chunk(
            upload=upload, offset_bytes=upload.offset_bytes, chunk=[chunk], sha256=sha256(chunk)
        )
    return upload
