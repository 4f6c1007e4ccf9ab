"""Export to ONNX: the same answers or none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel

from inference.errors import ModelFailed
from inference.optimize.export import export_folder, main
from inference.runtimes.onnx import OnnxRuntime

SIZES: dict[str, Any] = {
    "vocab_size": 1000, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 160,
}  # fmt: skip


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    BertModel(BertConfig(**SIZES)).eval().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_batches_of_any_size_and_length_answer_alike(encoder: Path, tmp_path: Path) -> None:
    report = export_folder(encoder, tmp_path / "onnx")
    assert report.max_difference < 1e-5
    found = OnnxRuntime.inspect(tmp_path / "onnx", None)
    assert found.signature == report.signature
    graph = OnnxRuntime.load(tmp_path / "onnx", found.signature, "cpu", 1)
    with torch.no_grad():
        model = BertModel.from_pretrained(encoder).eval()
        for rows, length in ((1, 1), (3, 150), (40, 2)):
            ids = np.random.default_rng(length).integers(0, 1000, (rows, length))
            mask = np.ones_like(ids)
            mask[1:, length // 2 + 1 :] = 0
            wanted = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
            answer = graph.run({"input_ids": ids, "attention_mask": mask})["last_hidden_state"]
            assert np.abs(answer - wanted.numpy())[mask != 0].max() < 1e-4


def test_the_command_prints_what_can_be_registered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(**SIZES)).eval().save_pretrained(tmp_path / "model")
    assert main(["--from", str(tmp_path / "model"), "--to", str(tmp_path / "onnx")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["max_difference"] < 1e-4
    assert [tensor["name"] for tensor in report["signature"]["outputs"]] == ["logits"]


def test_a_graph_that_answers_otherwise_is_refused_and_not_kept(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFailed, match="differs"):
        export_folder(encoder, tmp_path / "onnx", tolerance=1e-12)  # float32 cannot be that good
    assert not (tmp_path / "onnx" / "model.onnx").exists()


def test_a_folder_that_cannot_be_read_is_an_error_not_a_stack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--from", str(tmp_path), "--to", str(tmp_path / "onnx")]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "artifact_corrupt"
