"""Formats that run code: only from who may, said so in the record, and cleaned of what nobody should keep."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from support.registered import send, sha256, zip_of

from console.accounts.models import AuditEvent
from console.jobs import services as jobs
from console.jobs.running import attempt
from console.jobs.works import WORKS
from console.registry import services, store
from console.registry.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]
SIGNATURE = {
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
}


@pytest.fixture
def register(model: Any, make_user: Callable[..., Any]) -> Callable[..., Version]:
    trusted = make_user("nora", "operator", native=True)

    def call(content: bytes, filename: str, format: str) -> Version:
        facts = {"filename": filename, "size_bytes": len(content), "sha256": sha256(content), "format": format}
        upload = services.create_upload(model=model, actor=trusted, native=True, **facts)
        version, operation = jobs.complete_upload(upload=send(upload, content), actor=trusted)
        attempt(operation.pk, WORKS)
        version.refresh_from_db()
        return version

    return call


def test_a_torchscript_file_takes_its_signature_from_the_description(register: Callable[..., Version]) -> None:
    import torch

    held = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(4, 2).eval()), held)
    alone = register(held.getvalue(), "linear.pt", "torchscript")
    assert alone.state == "refused"
    described = json.dumps({"signature": SIGNATURE}).encode()
    version = register(zip_of({"linear.pt": held.getvalue(), "version.json": described}), "v.zip", "torchscript")
    assert version.state == "ready", version.refusals
    assert version.signature_spec().outputs[0].shape == (-1, 2)
    assert version.native_by == "nora"
    event = AuditEvent.objects.filter(action="version.add").order_by("-number").first()
    assert (event.actor_name, event.after["native"]) == ("nora", True)


def test_an_exported_programs_sample_inputs_are_not_kept(register: Callable[..., Version]) -> None:
    import torch

    held = io.BytesIO()
    batch = torch.export.Dim("batch")
    linear = torch.nn.Linear(4, 2).eval()
    program = torch.export.export(linear, (torch.full((3, 4), 0.12345),), dynamic_shapes=({0: batch},))
    torch.export.save(program, held)
    version = register(held.getvalue(), "linear.pt2", "pt2")
    assert version.state == "ready", version.refusals
    (file,) = version.artifact.files.all()
    kept = store.blob_path(file.sha256).read_bytes()
    assert sha256(kept) == file.sha256 != sha256(held.getvalue())
    assert "sample inputs" in next(check["why"] for check in version.checks if check["name"] == "inspect")
