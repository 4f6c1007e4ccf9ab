"""Demo recipes: made once, right, and in the form the console registers."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from inference.optimize.demo import RECIPES, Made, make_demo, recipe_digest
from inference.policy.units import check_units, unit_signature
from inference.runtimes.pipeline import load_pipeline
from inference.spec import Artifact, Version


def quiet(_: str) -> None:
    """Takes a recipe's progress."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a recipe, made at most once a session."""
    root = tmp_path_factory.mktemp("recipes")

    def make(name: str) -> Path:
        make_demo(name, root / name, quiet)
        return root / name

    return make


def as_version(folder: Path) -> Version:
    said = msgspec.json.decode((folder / "version.json").read_bytes(), type=Made)
    return Version(
        number=1,
        digest="0" * 64,
        format=said.format,
        artifact=Artifact(digest="0" * 64, files=(), store=""),
        signature=said.signature,
        stages=said.stages,
        units=said.units,
    )


def answer(folder: Path, *rows: bytes) -> dict[str, np.ndarray]:
    """What a client gets: the rows through every unit."""
    version = as_version(folder)
    batch = np.empty(len(rows), dtype=object)
    batch[:] = rows
    at_hand = {version.signature.inputs[0].name: batch}
    for unit in version.units:
        taken = {spec.name: at_hand[spec.name] for spec in unit_signature(version, unit).inputs}
        at_hand |= load_pipeline(version, unit, folder / "files", "cpu", 1).run(taken)
    return {spec.name: at_hand[spec.name] for spec in version.signature.outputs}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_each_recipe_makes_a_version_that_can_run(made: Callable[[str], Path], name: str) -> None:
    folder = made(name)
    check_units(as_version(folder))
    said = msgspec.json.decode((folder / "version.json").read_bytes(), type=Made)
    assert said.recipe_digest == recipe_digest(name)
    assert any((folder / "files").iterdir())
    assert any((folder / "samples").iterdir())


def test_the_second_minilm_answers_as_the_first(made: Callable[[str], Path]) -> None:
    texts = [line.encode() for line in (made("minilm-v1") / "samples/text.txt").read_text().splitlines()]
    texts += [b"", b"word " * 400]
    first, second = (answer(made(name), *texts)["embedding"] for name in ("minilm-v1", "minilm-v2"))
    assert first.shape == (len(texts), 384)
    assert np.abs(first - second).max() < 1e-4
    said = msgspec.json.decode((made("minilm-v2") / "version.json").read_bytes(), type=Made)
    assert float(str(said.figures["max_difference"])) < 1e-4


def test_digits_reads_its_samples_in_three_units(made: Callable[[str], Path]) -> None:
    folder = made("digits-v1")
    assert [len(unit.stages) for unit in as_version(folder).units] == [1, 1, 1]
    samples = [(folder / "samples" / f"digit-{digit}.png").read_bytes() for digit in range(10)]
    found = answer(folder, *samples)
    assert found["label"].shape == found["score"].shape == (10, 3)
    right = [label == str(digit).encode() for digit, label in enumerate(found["label"][:, 0])]
    assert sum(right) >= 9
    assert (np.diff(found["score"], axis=1) <= 0).all()


def test_digits_is_right_on_what_it_never_saw(made: Callable[[str], Path]) -> None:
    said = msgspec.json.decode((made("digits-v1") / "version.json").read_bytes(), type=Made)
    assert said.figures["held_out_images"] == 360
    assert float(str(said.figures["held_out_accuracy"])) >= 0.95


def test_the_second_call_finds_the_work_done(made: Callable[[str], Path]) -> None:
    folder = made("minilm-v1")
    before = (folder / "version.json").stat().st_mtime_ns
    began = time.perf_counter()
    make_demo("minilm-v1", folder, quiet)
    assert time.perf_counter() - began < 0.5
    assert (folder / "version.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "spoil", [lambda _: b"{", lambda raw: raw.replace(b'"recipe_digest": "', b'"recipe_digest": "0')]
)
def test_a_changed_recipe_or_a_broken_result_is_made_anew(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    out = tmp_path / "minilm-v1"
    make_demo("minilm-v1", out, quiet)
    first = (out / "version.json").read_bytes()
    (out / "version.json").write_bytes(spoil(first))
    (out / "files" / "config.json").unlink()
    make_demo("minilm-v1", out, quiet)
    assert (out / "version.json").read_bytes() == first
    assert (out / "files" / "config.json").exists()
    assert not list(tmp_path.glob("*.building"))


def test_the_first_version_is_made_fast_and_without_torch(tmp_path: Path) -> None:
    code = """
import sys
from inference.optimize.demo import main
main(["--recipe", "minilm-v1", "--out", sys.argv[1]])
print("torch" in sys.modules)
"""
    began = time.perf_counter()
    said = subprocess.check_output([sys.executable, "-c", code, str(tmp_path / "out")], text=True)
    assert said.splitlines()[-1] == "False"
    assert time.perf_counter() - began < 5  # 0.3 s on an idle machine
