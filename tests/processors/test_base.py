"""The registry of processors and what all of them share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import BadDocument, BadInput, CorruptArtifact, UnsafeArtifact
from inference.processors.base import PROCESSORS, BadRow, artifact_file, find_processor, read_texts

TEXT = [("text", "BYTES", (-1,))]


@pytest.mark.parametrize("name", sorted(PROCESSORS))
def test_each_name_leads_to_a_processor(name: str) -> None:
    found = find_processor(name)
    assert isinstance(found.on_device, bool)
    assert isinstance(found.warms_up, bool)
    assert isinstance(found.sample, bytes)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(BadDocument, match="tokenizer"):
        find_processor("rm -rf")


def test_a_package_adds_one_through_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[switchyard.processors]\nshout = inference.processors.faults:Delay\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_processor("shout").__name__ == "Delay"


@pytest.mark.parametrize("config", [{"delay": 1}, {"delay_s": -1}, {"delay_s": "long"}])
def test_a_config_that_is_not_right_names_its_stage(make_processor: Callable[..., Any], config: dict) -> None:
    with pytest.raises(BadDocument, match=r"stage 'step' \(delay\)"):
        make_processor("delay", TEXT, [], **config)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", "..\\x"])
def test_a_config_cannot_name_a_file_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeArtifact):
        artifact_file(tmp_path, name)


def test_a_file_that_was_not_uploaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match=r"labels\.txt"):
        artifact_file(tmp_path, "labels.txt")


def test_a_row_that_is_not_text_is_named(as_rows: Callable[..., np.ndarray]) -> None:
    with pytest.raises(BadRow, match=r"Row 1 of input 'text' is not UTF-8 text \(byte 2\)") as caught:
        read_texts("text", as_rows(b"fine", b"ab\xff"), 100)
    assert (caught.value.row, caught.value.code) == (1, "bad_input")


def test_a_row_that_is_too_long_is_named(as_rows: Callable[..., np.ndarray]) -> None:
    with pytest.raises(BadRow, match=r"Row 2 .* 101 bytes; at most 100"):
        read_texts("text", as_rows(b"", b"x" * 100, b"x" * 101), 100)


def test_several_texts_a_row_are_refused(as_rows: Callable[..., np.ndarray]) -> None:
    assert read_texts("text", as_rows(b"a", b"b").reshape(2, 1), 100) == ["a", "b"]
    with pytest.raises(BadInput, match="one a row"):
        read_texts("text", as_rows(b"a", b"b").reshape(1, 2), 100)
