"""Hugging Face folders: stages as the folder says, weights that fit or a clear no, and never code of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)

from inference.errors import ArtifactError, CorruptArtifact, UnsafeArtifact, UnsupportedFormat
from inference.runtimes.pipeline import load_pipeline
from inference.runtimes.safetensors import SafetensorsRuntime
from inference.spec import Format, Version

WORDS = {"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3, "day": 4}
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONFIG = BertConfig(vocab_size=32, max_position_embeddings=24, **SIZES)
MakeVersion = Callable[..., Version]


def save_model(folder: Path, model: PreTrainedModel, *, tokenizer: bool = True) -> Path:
    model.eval().save_pretrained(folder)
    if tokenizer:
        words = Tokenizer(WordLevel(WORDS, unk_token="[UNK]"))
        words.pre_tokenizer = Whitespace()
        words.save(str(folder / "tokenizer.json"))
    return folder


def change_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def serve(folder: Path, make_version: MakeVersion, **inputs: list[bytes]) -> dict[str, np.ndarray]:
    """Answers of the version that inspection proposes."""
    found = SafetensorsRuntime.inspect(folder, None)
    unit = {"name": "main", "stages": tuple(stage.name for stage in found.stages)}
    version = make_version(Format.SAFETENSORS, found.signature, stages=found.stages)
    unit = type(version.units[0])(**unit)
    version = make_version(Format.SAFETENSORS, found.signature, stages=found.stages, units=(unit,))
    batch = {name: np.array(values, dtype=object) for name, values in inputs.items()}
    return load_pipeline(version, unit, folder, "cpu", 1).run(batch)


def test_an_encoder_with_a_tokenizer_takes_text_and_says_what_it_assumes(
    tmp_path: Path, make_version: MakeVersion
) -> None:
    torch.manual_seed(0)
    model = BertModel(CONFIG, add_pooling_layer=False)
    folder = save_model(tmp_path, model)
    found = SafetensorsRuntime.inspect(folder, None)
    assert [stage.use for stage in found.stages] == ["tokenizer", "", "pooling"]
    assert "mean" in found.warnings[0]
    assert found.stages[0].config["max_length"] == 24
    answer = serve(folder, make_version, text=[b"good day", b"bad"])["embedding"]
    with torch.no_grad():
        alone = model(input_ids=torch.tensor([[3]]), attention_mask=torch.ones(1, 1)).last_hidden_state[0, 0]
    assert np.allclose(answer[1], alone / alone.norm(), atol=1e-5)


def test_modules_json_says_how_to_pool(tmp_path: Path, make_version: MakeVersion) -> None:
    folder = save_model(tmp_path, BertModel(CONFIG))
    modules = [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    flags = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "include_prompt": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    found = SafetensorsRuntime.inspect(folder, None)
    assert found.stages[2].config == {"mode": "cls", "normalize": False}
    assert found.warnings == ()
    flags["pooling_mode_max_tokens"] = True
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    with pytest.raises(UnsupportedFormat, match="max_tokens"):
        SafetensorsRuntime.inspect(folder, None)


def test_a_module_that_is_not_run_is_told(tmp_path: Path) -> None:
    folder = save_model(tmp_path, BertModel(CONFIG))
    names = ("Transformer", "Dense", "Normalize")
    (folder / "modules.json").write_text(json.dumps([{"type": f"sentence_transformers.models.{n}"} for n in names]))
    assert "Dense" in SafetensorsRuntime.inspect(folder, None).warnings[0]


def test_without_a_tokenizer_clients_send_ids(tmp_path: Path) -> None:
    found = SafetensorsRuntime.inspect(save_model(tmp_path, BertModel(CONFIG), tokenizer=False), None)
    assert [spec.name for spec in found.signature.inputs] == ["input_ids", "attention_mask"]
    assert all(spec.ragged_axes == (1,) for spec in found.signature.inputs)
    assert "tokenizer.json" in found.warnings[0]


def test_a_text_classifier_answers_with_its_labels(tmp_path: Path, make_version: MakeVersion) -> None:
    torch.manual_seed(3)
    config = BertConfig(vocab_size=32, id2label={0: "negative", 1: "positive"}, **SIZES)
    folder = save_model(tmp_path, BertForSequenceClassification(config))
    answer = serve(folder, make_version, text=[b"good day", b"bad"])
    assert set(answer["label"][0]) == {b"negative", b"positive"}
    assert np.allclose(answer["score"].sum(axis=1), 1)


def test_an_image_classifier_takes_pictures(tmp_path: Path, make_version: MakeVersion) -> None:
    config = ViTConfig(image_size=8, patch_size=4, id2label={0: "cat", 1: "dog", 2: "owl"}, **SIZES)
    folder = save_model(tmp_path, ViTForImageClassification(config), tokenizer=False)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    from inference.processors.image import ImageDecoder

    answer = serve(folder, make_version, image=[ImageDecoder.sample])
    assert set(answer["label"][0]) == {b"cat", b"dog", b"owl"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_answer_in_float32(
    tmp_path: Path, make_version: MakeVersion, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    model = BertModel(CONFIG)
    whole, half = tmp_path / "whole", tmp_path / "half"
    wanted = serve(save_model(whole, model), make_version, text=[b"good day"])["embedding"]
    found = serve(save_model(half, model.to(dtype)), make_version, text=[b"good day"])["embedding"]
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 0.02


def test_weights_under_older_names_are_translated(tmp_path: Path, make_version: MakeVersion) -> None:
    torch.manual_seed(0)
    folder = save_model(tmp_path, BertModel(CONFIG))
    wanted = serve(folder, make_version, text=[b"good day"])["embedding"]
    weights = load_file(folder / "model.safetensors")
    old = {f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma"): tensor for name, tensor in weights.items()}
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    assert np.allclose(serve(folder, make_version, text=[b"good day"])["embedding"], wanted, atol=1e-6)


def test_a_file_does_not_choose_the_attention_kernel(tmp_path: Path, make_version: MakeVersion) -> None:
    folder = save_model(tmp_path, BertModel(CONFIG))
    change_json(folder / "config.json", _attn_implementation="somebody/kernel", attn_implementation="somebody/kernel")
    assert serve(folder, make_version, text=[b"good day"])["embedding"].shape == (1, 16)


def test_sharded_weights_are_put_together(tmp_path: Path, make_version: MakeVersion) -> None:
    torch.manual_seed(0)
    model = BertModel(CONFIG)
    wanted = serve(save_model(tmp_path / "one", model), make_version, text=[b"good day"])["embedding"]
    folder = save_model(tmp_path / "many", model)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    assert (folder / "model.safetensors.index.json").exists()
    assert np.allclose(serve(folder, make_version, text=[b"good day"])["embedding"], wanted, atol=1e-6)
    next(folder.glob("model-*.safetensors")).unlink()
    with pytest.raises(CorruptArtifact, match="has no model-"):
        SafetensorsRuntime.inspect(folder, None)


def missing_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "spoil, error, words",
    [
        (lambda f: change_json(f / "config.json", auto_map={"AutoModel": "x.Y"}), UnsafeArtifact, "auto_map"),
        (lambda f: change_json(f / "config.json", text_config={"auto_map": {}}), UnsafeArtifact, "auto_map"),
        (lambda f: (f / "tokenizer_config.json").write_text('{"auto_map": {}}'), UnsafeArtifact, "auto_map"),
        (lambda f: (f / "adapter_config.json").write_text("{}"), UnsupportedFormat, "adapter"),
        (lambda f: change_json(f / "config.json", model_type="my-own"), UnsupportedFormat, "my-own"),
        (lambda f: change_json(f / "config.json", hidden_size=32), CorruptArtifact, "config.json"),
        (lambda f: change_json(f / "config.json", quantization_config={}), UnsupportedFormat, "Quantized"),
        (lambda f: (f / "config.json").write_text("[]"), CorruptArtifact, "object"),
        (lambda f: (f / "config.json").write_text("{" * 100_000), CorruptArtifact, "not JSON"),
        (lambda f: (f / "config.json").unlink(), CorruptArtifact, "config.json"),
        (missing_weight, CorruptArtifact, "encoder.layer.1.output.dense.weight"),
        (lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../etc/x.safetensors"}}'),
         UnsafeArtifact, "same folder"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_reason(
    tmp_path: Path, make_version: MakeVersion, spoil: Callable[[Path], None], error: type[ArtifactError], words: str
) -> None:
    folder = save_model(tmp_path, BertModel(CONFIG))
    spoil(folder)
    with pytest.raises(error, match=words):
        serve(folder, make_version, text=[b"good day"])
