"""Validation reads a file as a stranger's: in a process of its own, with every reason for a refusal written down."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.registered import send, sha256, tiny_onnx, zip_of

from console.jobs import services as jobs
from console.jobs.choices import OperationState
from console.jobs.running import attempt
from console.jobs.works import WORKS
from console.registry import services, store
from console.registry.choices import VersionState
from console.registry.models import Version
from inference import spec

pytestmark = pytest.mark.django_db


@pytest.fixture
def register(model: Any, operator: Any) -> Callable[..., Version]:
    """Upload, complete, and run the validation that this started."""

    def call(content: bytes, filename: str = "model.onnx", format: str = "onnx") -> Version:
        upload = services.create_upload(
            model=model,
            filename=filename,
            size_bytes=len(content),
            sha256=sha256(content),
            format=format,
            actor=operator,
        )
        version, operation = jobs.complete_upload(upload=send(upload, content), actor=operator)
        attempt(operation.pk, WORKS)
        operation.refresh_from_db()
        assert operation.state == OperationState.SUCCEEDED, operation.error
        version.refresh_from_db()
        return version

    return call


def test_a_real_graph_becomes_a_ready_version(register: Callable[..., Version]) -> None:
    version = register(tiny_onnx())
    assert version.state == VersionState.READY, version.checks
    assert [check["passed"] for check in version.checks] == [True] * 5
    (taken,), (given,) = version.signature_spec().inputs, version.signature_spec().outputs
    assert (taken.name, taken.datatype, taken.shape) == ("x", "FP32", (-1, 4))
    assert (given.name, given.shape) == ("y", (-1, 4))
    (file,) = version.artifact.files.all()
    assert store.blob_path(file.sha256).read_bytes() == tiny_onnx()
    assert version.artifact.digest == spec.artifact_digest(
        [spec.ArtifactFile(path=file.path, sha256=file.sha256, size_bytes=file.size_bytes)]
    )
    assert [unit.stages for unit in version.unit_specs()] == [("infer",)]
    assert list((store.store_folder() / "tmp").iterdir()) == []
    assert list(store.uploads_folder().iterdir()) == []


def test_its_own_description_splits_it_into_stages_and_units(register: Callable[..., Version]) -> None:
    x = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
    y = {"name": "y", "datatype": "FP32", "shape": [-1, 4]}
    z = {"name": "z", "datatype": "FP32", "shape": [-1, 4]}
    described = {
        "signature": {"inputs": [x], "outputs": [z]},
        "stages": [
            {"name": "infer", "kind": "infer", "signature": {"inputs": [x], "outputs": [y]}},
            {"name": "post", "kind": "postprocess", "use": "pooling", "signature": {"inputs": [y], "outputs": [z]}},
        ],
        "units": [{"name": "model", "stages": ["infer"]}, {"name": "post", "stages": ["post"], "device": "cpu"}],
    }
    archive = zip_of({"v/model.onnx": tiny_onnx(), "v/version.json": json.dumps(described).encode()})
    version = register(archive, "v.zip")
    assert version.state == VersionState.READY, version.checks
    assert [unit.name for unit in version.unit_specs()] == ["model", "post"]
    assert [file.path for file in version.artifact.files.all()] == ["model.onnx"]  # the description is no artifact


REFUSED = {
    "garbage": ("model.onnx", lambda: b"this is no graph", "inspect", "."),
    "zip slip": ("v.zip", lambda: zip_of({"../model.onnx": b"x"}), "files", "leads out"),
    "another format": (
        "v.zip",
        lambda: zip_of({"model.onnx": tiny_onnx(), "version.json": b'{"format": "pt2"}'}),
        "description",
        "says pt2",
    ),
    "unknown field": (
        "v.zip",
        lambda: zip_of({"model.onnx": tiny_onnx(), "version.json": b'{"code": "import os"}'}),
        "description",
        "unknown field",
    ),
    "tensor that the file lacks": (
        "v.zip",
        lambda: zip_of({"model.onnx": tiny_onnx(), "version.json": describe_wrongly()}),
        "inspect|stages",
        "other",
    ),
}


def describe_wrongly() -> bytes:
    signature = {
        "inputs": [{"name": "other", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
    }
    stages = [{"name": "infer", "kind": "infer", "signature": signature}]
    return json.dumps({"signature": signature, "stages": stages}).encode()


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_served_is_refused_with_the_reason(case: str, register: Callable[..., Version]) -> None:
    filename, build, failed, why = REFUSED[case]
    version = register(build(), filename)
    assert version.state == VersionState.REFUSED
    (refusal,) = version.refusals
    assert refusal["name"] in failed.split("|")
    assert why in refusal["why"]
    assert version.artifact is None
    assert list((store.store_folder() / "tmp").iterdir()) == []


def test_the_same_model_in_another_wrapping_is_recognised(register: Callable[..., Version]) -> None:
    register(tiny_onnx())
    version = register(zip_of({"model.onnx": tiny_onnx()}), "v.zip")
    assert version.refusals[0]["name"] == "new"
    assert "echo v1" in version.refusals[0]["why"]


def test_an_attempt_that_broke_off_can_be_made_again(model: Any, operator: Any) -> None:
    content = tiny_onnx()
    upload = services.create_upload(
        model=model, filename="m.onnx", size_bytes=len(content), sha256=sha256(content), format="onnx", actor=operator
    )
    version, operation = jobs.complete_upload(upload=send(upload, content), actor=operator)
    Version.objects.filter(pk=version.pk).update(state=VersionState.VALIDATING)  # as a killed process leaves it
    attempt(operation.pk, WORKS)
    version.refresh_from_db()
    assert version.state == VersionState.READY


def test_what_unpacks_past_the_quota_waits_for_room(model: Any, operator: Any, settings: Any) -> None:
    content = zip_of({"model.onnx": tiny_onnx(), "notes.txt": b"a" * 50_000})
    facts = {"filename": "v.zip", "size_bytes": len(content), "sha256": sha256(content), "format": "onnx"}
    settings.UPLOAD_QUOTA_BYTES = 10_000
    upload = services.create_upload(model=model, actor=operator, **facts)
    version, operation = jobs.complete_upload(upload=send(upload, content), actor=operator)
    for state in (OperationState.QUEUED, OperationState.FAILED):  # tried again once: room may come
        attempt(operation.pk, WORKS)
        operation.refresh_from_db()
        assert operation.state == state
    assert operation.error["code"] == "storage_full"
    version.refresh_from_db()
    assert version.state == VersionState.UPLOADED
    settings.UPLOAD_QUOTA_BYTES = 10**9
    attempt(jobs.verify_version(version=version, actor=operator).pk, WORKS)
    version.refresh_from_db()
    assert version.state == VersionState.READY


def test_stored_files_are_compared_with_their_digests(model: Any, make_version: Callable, operator: Any) -> None:
    version = make_version(model, b"as it was stored")
    whole = jobs.verify_version(version=version, actor=operator)
    attempt(whole.pk, WORKS)
    whole.refresh_from_db()
    assert (whole.state, whole.result["files"]) == (OperationState.SUCCEEDED, 1)
    blob = store.blob_path(version.artifact.files.get().sha256)
    blob.chmod(0o644)
    blob.write_bytes(b"as it was stoRed")
    damaged = jobs.verify_version(version=version, actor=operator)
    attempt(damaged.pk, WORKS)
    damaged.refresh_from_db()
    assert damaged.error["code"] == "artifact_corrupt"
    assert "model.onnx" in damaged.error["detail"]
