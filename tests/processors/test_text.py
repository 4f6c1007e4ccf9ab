"""Tokens and vectors: what sentence models need before and after."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from inference.errors import BadDocument, CorruptArtifact

TEXT = [("text", "BYTES", (-1,))]
IDS = [("input_ids", "INT64", (-1, -1)), ("attention_mask", "INT64", (-1, -1))]
HIDDEN = [("hidden", "FP32", (-1, -1, 2)), ("mask", "INT64", (-1, -1))]
VECTOR = [("vector", "FP32", (-1, 2))]
Make = Callable[..., Any]
Rows = Callable[..., np.ndarray]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3, "c": 4}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    # As published files often have it: padding to a fixed length, which the processor must not keep.
    tokenizer.enable_padding(length=128)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_rows_are_padded_to_the_longest_of_the_batch(words: Path, make_processor: Make, as_rows: Rows) -> None:
    answer = make_processor("tokenizer", TEXT, IDS).run({"text": as_rows(b"a b c", b"b", b"")})
    assert answer["input_ids"].tolist() == [[2, 3, 4], [3, 0, 0], [0, 0, 0]]
    assert answer["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert answer["input_ids"].dtype == np.int64


def test_long_texts_are_cut(words: Path, make_processor: Make, as_rows: Rows) -> None:
    answer = make_processor("tokenizer", TEXT, IDS, max_length=2).run({"text": as_rows(b"a b c a b c")})
    assert answer["input_ids"].tolist() == [[2, 3]]


def test_empty_texts_alone_are_possible(words: Path, make_processor: Make, as_rows: Rows) -> None:
    assert make_processor("tokenizer", TEXT, IDS).run({"text": as_rows(b"", b"")})["input_ids"].shape == (2, 0)


def test_an_output_that_tokenizers_do_not_give_is_refused(words: Path, make_processor: Make) -> None:
    with pytest.raises(BadDocument, match="pixel"):
        make_processor("tokenizer", TEXT, [("pixel", "FP32", (-1,))])


def test_a_file_that_is_no_tokenizer_is_corrupt(words: Path, make_processor: Make) -> None:
    (words / "tokenizer.json").write_text("{}")
    with pytest.raises(CorruptArtifact, match=r"tokenizer\.json"):
        make_processor("tokenizer", TEXT, IDS)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_mean_leaves_padding_out(make_processor: Make, kind: str) -> None:
    hidden = np.array([[[1, 2], [3, 4], [99, 99]], [[5, 6], [99, 99], [99, 99]]], np.float32)
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    if kind == "torch":
        import torch

        hidden, mask = torch.from_numpy(hidden), torch.from_numpy(mask)
    pooling = make_processor("pooling", HIDDEN, VECTOR, normalize=False)
    vector = pooling.run({"hidden": hidden, "mask": mask})["vector"]
    assert vector.tolist() == [[2, 3], [5, 6]]


@pytest.mark.parametrize("mode, expected", [("mean", [3, 0]), ("cls", [2, 0])])
def test_normalized_vectors_have_length_one(make_processor: Make, mode: str, expected: list[float]) -> None:
    hidden = np.array([[[2, 0], [4, 0]]], np.float32)
    for normalize, vector in ((False, expected), (True, [1, 0])):
        pooling = make_processor("pooling", HIDDEN, VECTOR, mode=mode, normalize=normalize)
        assert pooling.run({"hidden": hidden, "mask": np.ones((1, 2))})["vector"].tolist() == [vector]


def test_a_row_without_tokens_is_zero_and_not_nan(make_processor: Make) -> None:
    pooling = make_processor("pooling", HIDDEN, VECTOR)
    answer = pooling.run({"hidden": np.ones((1, 2, 2), np.float32), "mask": np.zeros((1, 2), np.int64)})
    assert answer["vector"].tolist() == [[0, 0]]


def test_without_a_mask_every_token_counts(make_processor: Make) -> None:
    pooling = make_processor("pooling", HIDDEN[:1], VECTOR, normalize=False)
    assert pooling.run({"hidden": np.array([[[1, 1], [3, 5]]], np.float32)})["vector"].tolist() == [[2, 3]]


def test_no_processor_imports_torch() -> None:
    names = "tokenizer pooling image classify faults"
    code = (
        f"import sys; [__import__('inference.processors.' + n) for n in {names.split()}]; print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
