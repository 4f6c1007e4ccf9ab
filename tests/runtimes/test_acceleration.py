"""What a stage's config asks for changes how a model runs, not what it means. On a CPU, where all but graphs can be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from inference.errors import BadDocument, ModelFailed
from inference.policy.acceleration import Acceleration, Autocast
from inference.runtimes.acceleration import Accelerated, cast_weights
from inference.runtimes.fixed_shapes import FixedShapes
from inference.runtimes.pipeline import Pipeline, load_pipeline
from inference.spec import BatchPolicy, Format, Signature, Stage, StageKind, TensorSpec, Unit, Version

MakeVersion = Callable[..., Version]
TORCH = [Format.SAFETENSORS, Format.PT2, Format.TORCHSCRIPT]
PIXELS = TensorSpec(name="pixels", datatype="FP32", shape=(-1, 3, 8, 8))
SCORE = TensorSpec(name="score", datatype="FP32", shape=(-1, 4))
IDS = TensorSpec(name="ids", datatype="INT64", shape=(-1, -1), ragged_axes=(1,), pad_value=7)
HIDDEN = TensorSpec(name="hidden", datatype="FP32", shape=(-1, -1, 2), ragged_axes=(1,))


class Seen(torch.nn.Module):
    """Remembers the shapes it was given, as a stand-in for a runtime's model."""

    def __init__(self, layer: torch.nn.Module):
        super().__init__()
        self.layer, self.shapes = layer, []

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(tensor.shape))
        return self.layer(tensor)


class OneModule:
    """A runtime of one module, one input and one output."""

    uses_torch = True

    def __init__(self, module: torch.nn.Module, taken: str, given: str):
        self.module, self.taken, self.given = module.eval().requires_grad_(requires_grad=False), taken, given

    def run(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {self.given: self.module(inputs[self.taken])}


def small_network() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 4)
    )


def accelerate(layer: torch.nn.Module, taken: TensorSpec, given: TensorSpec, **asked: Any) -> tuple[Accelerated, Seen]:
    seen = Seen(layer)
    signature = Signature(inputs=(taken,), outputs=(given,))
    runtime = OneModule(seen, taken.name, given.name)
    return Accelerated(runtime, signature, Acceleration(**asked), torch.device("cpu")), seen  # type: ignore[arg-type]


def with_config(make_version: MakeVersion, format: Format, signature: Signature, **config: object) -> Version:
    stage = Stage(name="infer", kind=StageKind.INFER, signature=signature, config=config)
    unit = Unit(name="main", stages=("infer",), batch=BatchPolicy(max_size=4))
    return make_version(format, signature, stages=(stage,), units=(unit,))


def load(version: Version, folder: Path) -> Pipeline:
    return load_pipeline(version, version.units[0], folder, "cpu", 1)


@pytest.mark.parametrize("format", TORCH)
@pytest.mark.parametrize(
    "config, tolerance",
    [
        ({"autocast": "bf16"}, 0.1),
        ({"autocast": "fp16"}, 0.02),
        ({"channels_last": True}, 1e-5),
        ({"batch_sizes": [2, 4]}, 1e-5),
        ({"cuda_graphs": True}, 1e-5),  # left out here, said in the log
        ({"autocast": "bf16", "channels_last": True, "batch_sizes": [4]}, 0.1),
    ],
    ids=str,
)
def test_every_torch_format_takes_every_setting(
    formats: Any,
    make_version: MakeVersion,
    tiny_signature: Signature,
    format: Format,
    config: dict[str, object],
    tolerance: float,
) -> None:
    pipeline = load(with_config(make_version, format, tiny_signature, **config), formats.folders[format])
    pipeline.warm_up()
    for rows in (1, 3, 5):  # 5: more than the largest size runs as it comes
        pixels = np.random.default_rng(rows).standard_normal((rows, 3, 8, 8)).astype(np.float32)
        found = pipeline.launch({"pixel_values": pixels}).wait()["last_hidden_state"]
        assert found.dtype == np.float32
        assert found.shape == (rows, 5, 16)
        assert np.abs(found - formats.answer(pixels)).max() < tolerance


def test_autocast_really_calculates_in_half_precision() -> None:
    model, _ = accelerate(small_network(), PIXELS, SCORE, autocast=Autocast.BF16)
    with torch.inference_mode():
        score = model.run({"pixels": torch.ones(1, 3, 8, 8)})["score"]
    assert score.dtype is torch.float32  # as declared
    assert torch.equal(score, score.bfloat16().float())
    assert not torch.equal(score, small_network().eval()(torch.ones(1, 3, 8, 8)))


def test_weights_cast_once_answer_as_autocast_does_to_the_bit() -> None:
    pixels = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain, cast = small_network().eval(), small_network().eval()
    cast_weights(cast, torch.bfloat16)
    assert {weight.dtype for weight in cast[0].parameters()} == {torch.bfloat16}
    assert cast[1].weight.dtype is torch.float32
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(plain(pixels), cast(pixels))


def test_a_weight_that_two_kinds_of_layers_share_is_left_alone() -> None:
    embedding, last = torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False)
    last.weight = embedding.weight
    cast_weights(torch.nn.Sequential(embedding, last), torch.bfloat16)
    assert last.weight.dtype is torch.float32


def test_images_reach_convolutions_in_the_order_they_want() -> None:
    orders = []

    class Order(torch.nn.Module):
        def forward(self, tensor: torch.Tensor) -> torch.Tensor:
            orders.append(tensor.is_contiguous(memory_format=torch.channels_last))
            return tensor.flatten(1)[:, :4]

    model, _ = accelerate(Order(), PIXELS, SCORE, channels_last=True)
    model.run({"pixels": torch.ones(2, 3, 8, 8)})
    assert orders == [True]


def test_a_batch_runs_at_the_next_size_and_answers_for_its_own_rows() -> None:
    model, seen = accelerate(small_network(), PIXELS, SCORE, batch_sizes=(2, 4))
    pixels = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(model.run({"pixels": pixels})["score"], small_network().eval()(pixels), atol=1e-6)
    assert seen.shapes == [(4, 3, 8, 8)]


def test_warm_up_runs_every_shape_the_largest_first() -> None:
    model, seen = accelerate(torch.nn.Embedding(9, 2), IDS, HIDDEN, batch_sizes=(1, 4), lengths=(3, 6))
    model.warm_up()
    assert seen.shapes == [(4, 6), (4, 3), (1, 6), (1, 3)]


def test_lengths_are_filled_with_the_pad_value_and_cut_off_again() -> None:
    shapes = FixedShapes(Signature(inputs=(IDS,), outputs=(HIDDEN,)), (4,), (8, 16))
    filled, own = shapes.fill({"ids": torch.arange(10).reshape(2, 5)})
    assert filled["ids"].shape == (4, 8)
    assert filled["ids"][:2, 5:].unique().tolist() == [7]
    assert torch.equal(filled["ids"][2], filled["ids"][1])  # rows are filled with the last one
    assert shapes.cut({"hidden": torch.zeros(4, 8, 2)}, own)["hidden"].shape == (2, 5, 2)


def test_an_axis_that_is_not_ragged_is_never_cut() -> None:
    pooled = TensorSpec(name="pooled", datatype="FP32", shape=(-1, 8))
    shapes = FixedShapes(Signature(inputs=(IDS,), outputs=(pooled,)), (4,), (8,))
    _, own = shapes.fill({"ids": torch.zeros(2, 5, dtype=torch.int64)})
    assert shapes.cut({"pooled": torch.zeros(4, 8)}, own)["pooled"].shape == (2, 8)


@pytest.mark.parametrize("rows, length", [(1, 1), (4, 16), (5, 17), (3, 8)])
def test_filling_up_and_cutting_back_leaves_what_came(rows: int, length: int) -> None:
    shapes = FixedShapes(Signature(inputs=(IDS,), outputs=(IDS,)), (1, 4), (8, 16))
    came = torch.arange(rows * length).reshape(rows, length)
    filled, own = shapes.fill({"ids": came})
    assert torch.equal(shapes.cut(filled, own)["ids"], came)


def test_a_compiled_model_answers_alike_and_is_compiled_in_the_warm_up_alone() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 4))
    row = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
    sizes = tuple(range(1, 12))  # more than torch compiles by itself
    signature, asked = Signature(inputs=(row,), outputs=(SCORE,)), Acceleration(compile=True, batch_sizes=sizes)
    runtime, compiled = OneModule(layer, "x", "score"), torch._dynamo.utils.counters["frames"]
    # Without the generation of C++, which takes a minute on a busy machine.
    model = Accelerated(runtime, signature, asked, torch.device("cpu"), backend="eager")  # type: ignore[arg-type]
    with torch.inference_mode():
        compiled.clear()
        model.warm_up()
        assert compiled["ok"] == len(sizes)
        for rows in sizes:
            tensor = torch.randn(rows, 4)
            assert torch.allclose(model.run({"x": tensor})["score"], layer(tensor), atol=1e-6)
        assert compiled["ok"] == len(sizes)


def test_a_setting_that_the_model_cannot_run_with_stops_the_load_with_a_reason(
    formats: Any, make_version: MakeVersion, tiny_signature: Signature
) -> None:
    wrong = msgspec.structs.replace(tiny_signature.inputs[0], shape=(-1, 3, 9, 9))
    signature = msgspec.structs.replace(tiny_signature, inputs=(wrong,))
    version = with_config(make_version, Format.PT2, signature, batch_sizes=[2])
    with pytest.raises(ModelFailed, match="config of stage 'infer'"):
        load(version, formats.folders[Format.PT2]).warm_up()


def test_onnx_takes_no_config(formats: Any, make_version: MakeVersion, tiny_signature: Signature) -> None:
    with pytest.raises(BadDocument, match="ONNX"):
        load(with_config(make_version, Format.ONNX, tiny_signature, compile=True), formats.folders[Format.ONNX])
