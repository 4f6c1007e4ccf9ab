"""`inference inspect`: one JSON object on standard output and nothing else, an exit code, limits of its own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.errors import BadDocument, CorruptArtifact, UnsafeArtifact, UnsupportedFormat
from inference.runtimes.folder import list_files
from inference.runtimes.inspect import inspect_folder
from inference.spec import ArtifactFile, Format, Signature, Stage, Unit

Copy = Callable[[Format], Path]


def inspect(folder: Path, format: Format, *flags: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "inference", "inspect", str(folder), "--format", format.value, *flags],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.count(b"\n") == 1, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_it_tells_all_that_a_version_needs(formats: Any, tiny_signature: Signature) -> None:
    folder = formats.folders[Format.SAFETENSORS]
    code, answer = inspect(folder, Format.SAFETENSORS)
    assert code == 0
    assert set(answer) == {"format", "signature", "stages", "units", "files", "parameters", "warnings"}
    assert msgspec.convert(answer["signature"], Signature) == tiny_signature
    (stage,) = msgspec.convert(answer["stages"], list[Stage])
    assert msgspec.convert(answer["units"], list[Unit])[0].stages == (stage.name,)
    files = msgspec.convert(answer["files"], tuple[ArtifactFile, ...])
    assert files == list_files(folder, Format.SAFETENSORS)[0]


def test_native_formats_need_the_right(formats: Any) -> None:
    folder = formats.folders[Format.PT2]
    with pytest.raises(UnsafeArtifact, match="native"):
        inspect_folder(folder, Format.PT2, native=False, clean=False, given=None)
    inspect_folder(folder, Format.PT2, native=True, clean=False, given=None)


def test_clean_drops_sample_inputs_and_says_so(copy_of: Copy) -> None:
    folder = copy_of(Format.PT2)
    told = inspect_folder(folder, Format.PT2, native=True, clean=False, given=None)
    assert "--clean" in told["warnings"][0]
    cleaned = inspect_folder(folder, Format.PT2, native=True, clean=True, given=None)
    assert "dropped" in cleaned["warnings"][0]
    assert cleaned["files"][0]["size_bytes"] < told["files"][0]["size_bytes"]
    assert inspect_folder(folder, Format.PT2, native=True, clean=False, given=None)["warnings"] == []


def test_torchscript_takes_its_signature_from_a_file(copy_of: Copy, tiny_signature: Signature) -> None:
    folder = copy_of(Format.TORCHSCRIPT)
    with pytest.raises(UnsupportedFormat, match="pixel_values"):
        inspect_folder(folder, Format.TORCHSCRIPT, native=True, clean=False, given=None)
    (folder / "signature.json").write_bytes(msgspec.json.encode(tiny_signature))
    answer = inspect_folder(folder, Format.TORCHSCRIPT, native=True, clean=False, given=None)
    assert msgspec.convert(answer["signature"], Signature) == tiny_signature
    (folder / "signature.json").write_text("{}")
    with pytest.raises(BadDocument, match="inputs"):
        inspect_folder(folder, Format.TORCHSCRIPT, native=True, clean=False, given=None)


@pytest.mark.parametrize(
    "name", ["modeling.py", "libop.so", "pytorch_model.bin", "optimizer.pt", "deep/kernel.cubin", "training_args.pkl"]
)
def test_code_and_pickles_are_refused_whatever_the_format(copy_of: Copy, name: str) -> None:
    folder = copy_of(Format.SAFETENSORS)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    with pytest.raises(UnsafeArtifact, match=name):
        inspect_folder(folder, Format.SAFETENSORS, native=False, clean=False, given=None)


def test_links_are_refused(copy_of: Copy, tmp_path: Path) -> None:
    folder = copy_of(Format.SAFETENSORS)
    shutil.move(folder / "model.safetensors", tmp_path / "elsewhere")
    (folder / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeArtifact, match="link"):
        inspect_folder(folder, Format.SAFETENSORS, native=False, clean=False, given=None)


def test_a_missing_folder_and_a_wrong_format_are_errors_not_stacks(tmp_path: Path, formats: Any) -> None:
    with pytest.raises(CorruptArtifact, match="no such folder"):
        inspect_folder(tmp_path / "nowhere", Format.ONNX, native=False, clean=False, given=None)
    code, answer = inspect(formats.folders[Format.SAFETENSORS], Format.ONNX)
    assert (code, answer["error"]["code"]) == (1, "artifact_corrupt")


@pytest.mark.parametrize("flags, words", [(("--memory-bytes", "300000000"), "memory"), (("--cpu-s", "1"), "CPU time")])
def test_limits_end_in_an_answer(formats: Any, flags: tuple[str, str], words: str) -> None:
    code, answer = inspect(formats.folders[Format.SAFETENSORS], Format.SAFETENSORS, *flags)
    assert code == 1
    assert words in answer["error"]["message"]
