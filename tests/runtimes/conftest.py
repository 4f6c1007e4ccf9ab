"""One tiny vision transformer with random weights, in every format, and versions that serve a folder."""

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from inference.runtimes.pipeline import Pipeline, load_pipeline
from inference.spec import Artifact, Format, Signature, Stage, StageKind, TensorSpec, Unit, Version

os.environ["HF_HUB_OFFLINE"] = "1"
PIXELS = TensorSpec(name="pixel_values", datatype="FP32", shape=(-1, 3, 8, 8))
HIDDEN = TensorSpec(name="last_hidden_state", datatype="FP32", shape=(-1, 5, 16))
TINY = Signature(inputs=(PIXELS,), outputs=(HIDDEN,))


class Formats(msgspec.Struct):
    """Folders with the same model, and what it answers."""

    folders: dict[Format, Path]
    answer: Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def formats(tmp_path_factory: pytest.TempPathFactory) -> Formats:
    import torch
    from transformers import ViTConfig, ViTModel

    from inference.optimize.export import export_module

    root = tmp_path_factory.mktemp("formats")
    folders = {kind: root / kind.value for kind in Format}
    for folder in folders.values():
        folder.mkdir()
    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=8, patch_size=4
    )
    model = ViTModel(config, add_pooling_layer=False).eval()

    class Bare(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return self.model(pixel_values=pixel_values).last_hidden_state

    class Named(Bare):
        def forward(self, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"last_hidden_state": super().forward(pixel_values)}

    example = torch.zeros(2, 3, 8, 8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, which the format is made by, and which goes away
        model.save_pretrained(folders[Format.SAFETENSORS])
        export_module(Bare().eval(), PIXELS, HIDDEN, folders[Format.ONNX])
        rows = {"pixel_values": {0: torch.export.Dim.DYNAMIC}}
        program = torch.export.export(Named().eval(), (example,), dynamic_shapes=rows)
        torch.export.save(program, folders[Format.PT2] / "model.pt2")
        torch.jit.trace(Bare().eval(), example).save(folders[Format.TORCHSCRIPT] / "model.pt")

    def answer(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(pixel_values=torch.from_numpy(pixels)).last_hidden_state.numpy()

    return Formats(folders, answer)


@pytest.fixture
def copy_of(formats: Formats, tmp_path: Path) -> Callable[[Format], Path]:
    """A folder of that format to be spoiled."""

    def copy(format: Format) -> Path:
        return Path(shutil.copytree(formats.folders[format], tmp_path / format.value))

    return copy


@pytest.fixture(scope="session")
def make_version() -> Callable[..., Version]:
    """A version of one `infer` stage and one unit; anything else by name."""

    def make(format: Format, signature: Signature = TINY, **changes: object) -> Version:
        stages = (Stage(name="infer", kind=StageKind.INFER, signature=signature),)
        version = Version(
            number=1,
            digest="0" * 64,
            format=format,
            artifact=Artifact(digest="0" * 64, files=(), store=""),
            signature=signature,
            stages=stages,
            units=(Unit(name="main", stages=("infer",)),),
            native=True,
        )
        return msgspec.structs.replace(version, **changes)

    return make


@pytest.fixture(scope="session")
def tiny_signature() -> Signature:
    return TINY


class MiniLM(msgspec.Struct):
    """The demo's sentence model, loaded as one unit."""

    version: Version
    folder: Path
    pipeline: Pipeline

    def texts(self, *values: str) -> np.ndarray:
        rows = np.empty(len(values), dtype=object)
        rows[:] = [value.encode() for value in values]
        return rows


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory, make_version: Callable[..., Version]) -> MiniLM:
    from inference.optimize.demo import make_demo

    out = tmp_path_factory.mktemp("demo") / "minilm-v1"
    made = make_demo("minilm-v1", out, lambda _: None)
    version = make_version(made.format, made.signature, stages=made.stages, units=made.units, native=False)
    return MiniLM(version, out / "files", load_pipeline(version, version.units[0], out / "files", "cpu", 1))
