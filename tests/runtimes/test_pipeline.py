"""The pipeline of a unit: same answers fused or split, types kept at its edges, nothing imported in vain."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from inference.errors import BadDocument, ModelFailed
from inference.policy.units import unit_signature
from inference.processors.base import BadRow
from inference.runtimes.bfloat16 import narrow_bfloat16, widen_bfloat16
from inference.runtimes.pipeline import load_pipeline
from inference.runtimes.torch_tensors import DATATYPES, TORCH_TYPES, to_numpy, to_torch
from inference.spec import Format, Signature, Stage, StageKind, TensorSpec, Unit, Version

MakeVersion = Callable[..., Version]
HALVES = TensorSpec(name="halves", datatype="BF16", shape=(-1, 3))
DOUBLED = TensorSpec(name="doubled", datatype="BF16", shape=(-1, 3))
LABEL = TensorSpec(name="label", datatype="BYTES", shape=(-1, 2))
SCORE = TensorSpec(name="score", datatype="FP32", shape=(-1, 2))


def one_unit(make_version: MakeVersion, stages: list[Stage], signature: Signature) -> Version:
    unit = Unit(name="main", stages=tuple(stage.name for stage in stages))
    return make_version(Format.PT2, signature, stages=tuple(stages), units=(unit,))


@pytest.fixture
def doubler(tmp_path: Path) -> Path:
    """A .pt2 that doubles bfloat16 numbers."""

    class Double(torch.nn.Module):
        def forward(self, halves: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"doubled": halves * 2}

    example = torch.ones(2, 3, dtype=torch.bfloat16)
    rows = {"halves": {0: torch.export.Dim.DYNAMIC}}
    torch.export.save(torch.export.export(Double(), (example,), dynamic_shapes=rows), tmp_path / "m.pt2")
    return tmp_path


def test_bfloat16_travels_as_its_raw_bits(doubler: Path, make_version: MakeVersion) -> None:
    signature = Signature(inputs=(HALVES,), outputs=(DOUBLED,))
    version = make_version(Format.PT2, signature)
    pipeline = load_pipeline(version, version.units[0], doubler, "cpu", 1)
    values = np.array([[1.5, -2.0, 0.0078125]], np.float32)
    answer = pipeline.run({"halves": narrow_bfloat16(values)})["doubled"]
    assert answer.dtype == np.uint16
    assert widen_bfloat16(answer).tolist() == (values * 2).tolist()


def test_processors_see_numbers_where_bits_travel(doubler: Path, make_version: MakeVersion) -> None:
    infer = Stage(name="infer", kind=StageKind.INFER, signature=Signature(inputs=(HALVES,), outputs=(DOUBLED,)))
    labelled = Signature(inputs=(DOUBLED,), outputs=(LABEL, SCORE))
    config = {"labels": ["a", "b", "c"], "top_k": 2, "activation": "none"}
    classify = Stage(name="classify", kind=StageKind.POSTPROCESS, use="classify", signature=labelled, config=config)
    version = one_unit(make_version, [infer, classify], Signature(inputs=(HALVES,), outputs=(LABEL, SCORE)))
    fused = load_pipeline(version, version.units[0], doubler, "cpu", 1)
    sent = narrow_bfloat16(np.array([[1.5, -2, 4]], np.float32))
    assert fused.run({"halves": sent})["score"].tolist() == [[8, 3]]
    units = tuple(Unit(name=stage.name, stages=(stage.name,)) for stage in version.stages)
    version = msgspec.structs.replace(version, units=units)
    alone = load_pipeline(version, units[1], doubler, "cpu", 1)
    assert alone.run({"doubled": narrow_bfloat16(np.array([[3, -4, 8]], np.float32))})["label"].tolist() == [
        [b"c", b"a"]
    ]


def test_bfloat16_rounds_as_torch_does() -> None:
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32) * 1e3
    values[:4] = [np.inf, -np.inf, 0.0, 3.3895314e38]
    wanted = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    assert (narrow_bfloat16(values) == wanted).all()
    assert np.isnan(widen_bfloat16(narrow_bfloat16(np.array([np.nan], np.float32)))).all()


@pytest.mark.parametrize("datatype", sorted(TORCH_TYPES))
def test_every_datatype_goes_to_torch_and_back(datatype: str) -> None:
    from inference.protocol.tensors import NUMPY_KIND

    values = np.array([[0, 1], [1, 0]]).astype(NUMPY_KIND[datatype])
    tensor = to_torch(values, datatype, torch.device("cpu"))
    assert DATATYPES[tensor.dtype] == datatype
    back = to_numpy({"x": (tensor, datatype)})["x"]
    assert back.dtype == values.dtype
    assert (back == values).all()


def test_a_failing_model_says_its_first_line_and_no_stack(doubler: Path, make_version: MakeVersion) -> None:
    version = make_version(Format.PT2, Signature(inputs=(HALVES,), outputs=(DOUBLED,)))
    pipeline = load_pipeline(version, version.units[0], doubler, "cpu", 1)
    with pytest.raises(ModelFailed) as caught:
        pipeline.run({"halves": np.ones((1, 5), np.uint16)})
    assert str(caught.value).count("\n") == 0
    assert str(doubler) not in str(caught.value)


def test_warm_up_leaves_faults_out(doubler: Path, make_version: MakeVersion) -> None:
    fail = Stage(name="fail", kind=StageKind.PREPROCESS, use="fail", signature=Signature(inputs=(HALVES,), outputs=()))
    infer = Stage(name="infer", kind=StageKind.INFER, signature=Signature(inputs=(HALVES,), outputs=(DOUBLED,)))
    version = one_unit(make_version, [fail, infer], Signature(inputs=(HALVES,), outputs=(DOUBLED,)))
    pipeline = load_pipeline(version, version.units[0], doubler, "cpu", 1)
    pipeline.warm_up()
    with pytest.raises(ModelFailed, match="Row 0"):
        pipeline.run({"halves": np.ones((1, 3), np.uint16)})


def test_warm_up_finds_a_model_that_cannot_run(doubler: Path, make_version: MakeVersion) -> None:
    wrong = msgspec.structs.replace(HALVES, shape=(-1, 5))
    version = make_version(Format.PT2, Signature(inputs=(wrong,), outputs=(DOUBLED,)))
    with pytest.raises(ModelFailed, match="made-up"):
        load_pipeline(version, version.units[0], doubler, "cpu", 1).warm_up()


def test_a_stage_without_a_processor_is_refused(doubler: Path, make_version: MakeVersion) -> None:
    stage = Stage(name="pre", kind=StageKind.PREPROCESS, signature=Signature(inputs=(HALVES,), outputs=(DOUBLED,)))
    version = one_unit(make_version, [stage], Signature(inputs=(HALVES,), outputs=(DOUBLED,)))
    with pytest.raises(BadDocument, match="'pre'"):
        load_pipeline(version, version.units[0], doubler, "cpu", 1)


PICTURE = """
import sys
from pathlib import Path
import msgspec, numpy as np
from inference.optimize.digits_stages import SIGNATURE, STAGES, UNITS
from inference.processors.image import ImageDecoder
from inference.runtimes.pipeline import load_pipeline
from inference.spec import Artifact, Format, Version
version = Version(number=1, digest="0" * 64, format=Format.SAFETENSORS, signature=SIGNATURE, stages=STAGES, units=UNITS,
                  artifact=Artifact(digest="0" * 64, files=(), store=""))
pipeline = load_pipeline(version, UNITS[0], Path(), "cpu", 1)
pipeline.warm_up()
print(pipeline.run({"image": np.array([ImageDecoder.sample], dtype=object)})["pixels"].shape)
print("torch" in sys.modules, "onnxruntime" in sys.modules, "transformers" in sys.modules)
"""


def test_a_unit_of_processors_alone_imports_no_model_library() -> None:
    said = subprocess.check_output([sys.executable, "-c", PICTURE], text=True).splitlines()
    assert said == ["(1, 1, 8, 8)", "False False False"]


def test_units_chained_answer_as_one(tmp_path_factory: pytest.TempPathFactory, minilm: Any) -> None:
    texts = minilm.texts("Hello, world", "two words", "")
    wanted = minilm.pipeline.run({"text": texts})["embedding"]
    split = msgspec.structs.replace(
        minilm.version, units=tuple(Unit(name=stage.name, stages=(stage.name,)) for stage in minilm.version.stages)
    )
    at_hand: dict[str, np.ndarray] = {"text": texts}
    for unit in split.units:
        pipeline = load_pipeline(split, unit, minilm.folder, "cpu", 1)
        assert pipeline.inputs == unit_signature(split, unit).inputs
        pipeline.warm_up()
        at_hand |= pipeline.run({spec.name: at_hand[spec.name] for spec in pipeline.inputs})
    assert np.abs(at_hand["embedding"] - wanted).max() < 1e-6


def test_a_row_that_is_not_text_is_named_and_the_others_can_run(minilm: Any) -> None:
    with pytest.raises(BadRow) as caught:
        minilm.pipeline.run({"text": np.array([b"fine", b"\xff\xfe", b"well"], dtype=object)})
    assert caught.value.row == 1
    assert len(minilm.pipeline.run({"text": minilm.texts("fine", "well")})["embedding"]) == 2


def test_answers_do_not_depend_on_who_shares_the_batch(minilm: Any) -> None:
    long = "word " * 300
    alone = minilm.pipeline.run({"text": minilm.texts("Hello, world")})["embedding"][0]
    shared = minilm.pipeline.run({"text": minilm.texts(long, "Hello, world", "x")})["embedding"][1]
    assert np.abs(alone - shared).max() < 1e-5


SENTENCES = [
    "Hello, world!", "", " ", "\n\t  leading and trailing  \n", "a", "The quick brown fox jumps over the lazy dog.",
    "word " * 400, "Grüße aus Zürich, ça va?", "今日はとても良い天気ですね。", "🙂🚀 emoji and \u200b zero width",
    "UPPER lower MiXeD",
    "def f(x): return x ** 2  # code", "1234567890 " * 60, "مرحبا بالعالم", "naïve café — “quotes” … and\u00a0spaces",
]  # fmt: skip


def test_embeddings_are_those_of_sentence_transformers(minilm: Any) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from inference.optimize.minilm import model_folder

    theirs = sentence_transformers.SentenceTransformer(str(model_folder()), device="cpu")
    wanted = theirs.encode(SENTENCES, normalize_embeddings=True, show_progress_bar=False)
    found = minilm.pipeline.run({"text": minilm.texts(*SENTENCES)})["embedding"]
    cosines = (wanted * found).sum(axis=1)
    assert cosines.min() >= 0.9999, dict(zip(SENTENCES, cosines, strict=True))
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
