"""A model on a GPU: batches overlap and answers stay each batch's own. Left out where there is no GPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from inference.errors import UnsupportedFormat
from inference.policy.acceleration import Acceleration
from inference.runtimes.acceleration import Accelerated
from inference.runtimes.pipeline import Launched, Pipeline, load_pipeline
from inference.spec import BatchPolicy, Format, Signature, Stage, StageKind, TensorSpec, Unit, Version
from inference.worker.buffers import PinnedBuffers

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
MakeVersion = Callable[..., Version]
CONFIGS = [{}, {"cuda_graphs": True}, {"autocast": "bf16", "channels_last": True, "cuda_graphs": True}]


def load(formats: Any, make_version: MakeVersion, signature: Signature, format: Format, **config: object) -> Pipeline:
    stage = Stage(name="infer", kind=StageKind.INFER, signature=signature, config=config)
    unit = Unit(name="main", stages=("infer",), batch=BatchPolicy(max_size=8))
    version = make_version(format, signature, stages=(stage,), units=(unit,))
    pipeline = load_pipeline(version, unit, formats.folders[format], "cuda:0", 1)
    pipeline.warm_up()
    return pipeline


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("format", [Format.SAFETENSORS, Format.PT2])
def test_batches_launched_before_the_last_is_done_get_their_own_answers(
    formats: Any, make_version: MakeVersion, tiny_signature: Signature, format: Format, config: dict[str, object]
) -> None:
    pipeline, buffers = load(formats, make_version, tiny_signature, format, **config), PinnedBuffers()
    chance, last = np.random.default_rng(0), None
    for turn in range(30):
        pixels = buffers("pixel_values", (1 + turn % 8, 3, 8, 8), np.dtype("<f4"))
        pixels[...] = chance.standard_normal(pixels.shape)
        wanted, launched = formats.answer(pixels.copy()), pipeline.launch({"pixel_values": pixels})
        if last is not None:
            check(*last)
        last = launched, wanted
    check(*last)


def check(launched: Launched, wanted: np.ndarray) -> None:
    found = launched.wait()["last_hidden_state"]
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 0.1


def test_a_graph_is_captured_for_every_size_and_other_shapes_run_without(
    formats: Any, make_version: MakeVersion, tiny_signature: Signature
) -> None:
    pipeline = load(formats, make_version, tiny_signature, Format.PT2, cuda_graphs=True, batch_sizes=[2, 4])
    for rows in (1, 4, 7):
        pixels = np.random.default_rng(rows).standard_normal((rows, 3, 8, 8)).astype(np.float32)
        found = pipeline.run({"pixel_values": pixels})["last_hidden_state"]
        assert np.abs(found - formats.answer(pixels)).max() < 1e-2  # TF32 in convolutions


def test_a_model_that_looks_at_values_cannot_be_captured_and_that_is_said() -> None:
    row = TensorSpec(name="x", datatype="FP32", shape=(-1, 2))

    class Looks:
        uses_torch, module = True, torch.nn.Identity()

        def run(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"x": inputs["x"] * 2 if inputs["x"].sum().item() > 0 else inputs["x"]}

    asked = Acceleration(cuda_graphs=True, batch_sizes=(1,))
    signature = Signature(inputs=(row,), outputs=(row,))
    model = Accelerated(Looks(), signature, asked, torch.device("cuda:0"))  # type: ignore[arg-type]
    with torch.inference_mode(), pytest.raises(UnsupportedFormat, match="cuda_graphs"):
        model.warm_up()
