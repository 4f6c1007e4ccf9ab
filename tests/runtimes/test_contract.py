"""What every runtime promises, held by each of them: one parameter a format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import ArtifactError, CorruptArtifact, UnsafeArtifact, UnsupportedFormat
from inference.runtimes.base import RUNTIMES, get_runtime
from inference.runtimes.pipeline import Pipeline, load_pipeline
from inference.spec import Format, Signature, TensorSpec, Version

pytestmark = pytest.mark.parametrize("format", list(Format), ids=[kind.value for kind in Format])
Copy = Callable[[Format], Path]
MakeVersion = Callable[..., Version]


def load(version: Version, folder: Path, device: str = "cpu") -> Pipeline:
    return load_pipeline(version, version.units[0], folder, device, 1)


def test_the_same_model_answers_alike(formats: Any, format: Format, make_version: MakeVersion) -> None:
    pipeline = load(make_version(format), formats.folders[format])
    for rows in (1, 2, 5):
        pixels = np.random.default_rng(rows).standard_normal((rows, 3, 8, 8)).astype(np.float32)
        found = pipeline.run({"pixel_values": pixels})["last_hidden_state"]
        assert found.dtype == np.float32
        assert np.abs(found - formats.answer(pixels)).max() < 1e-4


def test_read_only_inputs_are_taken_and_left_alone(formats: Any, format: Format, make_version: MakeVersion) -> None:
    sent = np.ones((2, 3, 8, 8), np.float32).tobytes()
    pixels = np.frombuffer(sent, np.float32).reshape(2, 3, 8, 8)
    load(make_version(format), formats.folders[format]).run({"pixel_values": pixels})
    assert sent == np.ones((2, 3, 8, 8), np.float32).tobytes()


def test_warm_up_runs(formats: Any, format: Format, make_version: MakeVersion) -> None:
    load(make_version(format), formats.folders[format]).warm_up()


def test_inspection_tells_names_types_and_shapes(formats: Any, format: Format, tiny_signature: Signature) -> None:
    given = tiny_signature if format is Format.TORCHSCRIPT else None  # which alone does not record them
    found = get_runtime(format).inspect(formats.folders[format], given)
    assert found.signature.inputs == tiny_signature.inputs
    assert found.signature.outputs[0] == tiny_signature.outputs[0]
    assert found.parameters
    assert abs(found.parameters - 5_400) < 1_000


def test_a_signature_of_other_names_is_refused_when_loading(
    formats: Any, format: Format, make_version: MakeVersion, tiny_signature: Signature
) -> None:
    other = (TensorSpec(name="nothing_like_it", datatype="FP32", shape=(-1, 3, 8, 8)),)
    version = make_version(format, Signature(inputs=other, outputs=tiny_signature.outputs))
    with pytest.raises(ArtifactError, match="nothing_like_it"):
        load(version, formats.folders[format])


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_file_cut_short_is_corrupt(copy_of: Copy, format: Format, make_version: MakeVersion, kept: float) -> None:
    folder = copy_of(format)
    (weights,) = (path for path in folder.iterdir() if path.suffix != ".json")
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(CorruptArtifact):
        load(make_version(format), folder)


def test_bytes_of_another_kind_are_corrupt(copy_of: Copy, format: Format, make_version: MakeVersion) -> None:
    folder = copy_of(format)
    (weights,) = (path for path in folder.iterdir() if path.suffix != ".json")
    weights.write_bytes(b"\x80\x04 this is no model" * 500)
    with pytest.raises(CorruptArtifact):
        load(make_version(format), folder)


def test_an_empty_folder_says_what_is_missing(tmp_path: Path, format: Format, make_version: MakeVersion) -> None:
    with pytest.raises(CorruptArtifact, match=r"config\.json|onnx|pt2|\.pt"):
        load(make_version(format), tmp_path)


def test_formats_that_run_code_need_the_native_right(formats: Any, format: Format, make_version: MakeVersion) -> None:
    version = make_version(format, native=False)
    if format in (Format.PT2, Format.TORCHSCRIPT):
        with pytest.raises(UnsafeArtifact, match="native"):
            load(version, formats.folders[format])
    else:
        load(version, formats.folders[format])


def test_a_gpu_that_is_not_there_is_said(formats: Any, format: Format, make_version: MakeVersion) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UnsupportedFormat, match="cuda"):
        load(make_version(format), formats.folders[format], "cuda:0")


def test_the_registry_names_a_runtime(format: Format) -> None:
    assert set(RUNTIMES) == set(Format)
    assert {"inspect", "load", "run"} <= set(dir(get_runtime(format)))


def test_wrong_values_are_the_models_failure_not_a_crash(
    formats: Any, format: Format, make_version: MakeVersion
) -> None:
    from inference.errors import ModelFailed

    pipeline = load(make_version(format), formats.folders[format])
    with pytest.raises(ModelFailed):
        pipeline.run({"pixel_values": np.ones((1, 2, 8, 8), np.float32)})
