"""From a Hugging Face folder in a zip to a validated version to its ONNX twin: the import path, with real programs."""

from pathlib import Path
from typing import Any

import pytest
from support.registered import send, sha256, zip_of

from console.jobs import services
from console.jobs.choices import OperationState
from console.jobs.models import Operation
from console.jobs.running import attempt
from console.jobs.works import WORKS
from console.lib.errors import Conflict, Invalid
from console.registry import selectors
from console.registry.services import create_upload
from console.serving.selectors import live_versions

pytestmark = pytest.mark.django_db


def finish(operation: Operation) -> Operation:
    attempt(operation.pk, WORKS)
    operation.refresh_from_db()
    return operation


@pytest.fixture
def tiny_bert(tmp_path: Path) -> bytes:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 1000, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(**sizes, intermediate_size=32, max_position_embeddings=160)
    BertModel(config).eval().save_pretrained(tmp_path / "bert")
    return zip_of({f"bert/{path.name}": path.read_bytes() for path in (tmp_path / "bert").iterdir()})


def test_a_safetensors_version_is_exported_as_a_new_version_that_answers_alike(
    model: Any, operator: Any, tiny_bert: bytes
) -> None:
    facts = {"filename": "bert.zip", "size_bytes": len(tiny_bert), "sha256": sha256(tiny_bert), "format": "safetensors"}
    upload = send(create_upload(model=model, actor=operator, **facts), tiny_bert)
    version, validation = services.complete_upload(upload=upload, actor=operator)
    assert finish(validation).result["state"] == "ready", validation.result
    version.refresh_from_db()
    assert version.parameters > 1000
    export = services.export_version(version=version, actor=operator)
    with pytest.raises(Conflict, match="already"):
        services.export_version(version=version, actor=operator)
    assert finish(export).state == OperationState.SUCCEEDED, export.error
    made = selectors.get_version(model, 2)
    assert (made.format, made.state, made.parent, made.source) == ("onnx", "ready", version, "export")
    assert (made.stages, made.units) == (version.stages, version.units)
    assert made.digest != version.digest
    assert "model.onnx" in {file.path for file in selectors.list_files(made)}
    assert made not in live_versions(model)  # it serves nothing until somebody says so
    with pytest.raises(Invalid, match="only a safetensors version"):
        services.export_version(version=made, actor=operator)


def test_an_export_that_fails_leaves_a_refused_version_that_says_why(
    model: Any, operator: Any, make_version: Any
) -> None:
    version = make_version(model, b"no weights at all")
    version.format = "safetensors"
    version.save()
    operation = finish(services.export_version(version=version, actor=operator))
    assert operation.state == OperationState.FAILED
    made = selectors.get_version(model, 2)
    assert made.state == "refused"
    assert made.refusals[0]["why"] == operation.error["detail"]
