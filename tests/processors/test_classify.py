"""Labels and scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import BadDocument, BadInput

LOGITS = [("logits", "FP32", (-1, 3))]
ANSWER = [("label", "BYTES", (-1, 2)), ("score", "FP32", (-1, 2))]
NAMES = ["red", "grün", "blue"]
Make = Callable[..., Any]


def test_the_likeliest_come_first_and_scores_are_probabilities(make_processor: Make) -> None:
    classify = make_processor("classify", LOGITS, ANSWER, labels=NAMES, top_k=2)
    answer = classify.run({"logits": np.array([[0, 2, 1], [1000, 0, -1000]], np.float32)})
    assert answer["label"].tolist() == [["grün".encode(), b"blue"], [b"red", "grün".encode()]]
    odds = np.exp([0, 2, 1]) / np.exp([0, 2, 1]).sum()
    assert np.allclose(answer["score"][0], [odds[1], odds[2]])
    assert answer["score"][1].tolist() == [1, 0]
    assert answer["score"].dtype == np.float32


def test_probabilities_stay_what_they_are(make_processor: Make) -> None:
    classify = make_processor("classify", LOGITS, ANSWER, labels=NAMES, top_k=1, activation="none")
    assert classify.run({"logits": np.array([[0.2, 0.7, 0.1]], np.float32)})["score"].tolist() == [[np.float32(0.7)]]


def test_labels_may_lie_in_a_file(make_processor: Make, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(NAMES))
    classify = make_processor("classify", LOGITS, ANSWER[:1], labels_file="labels.txt", top_k=1)
    assert classify.run({"logits": np.array([[3, 2, 1]], np.float32)})["label"].tolist() == [[b"red"]]


@pytest.mark.parametrize(
    "config", [{}, {"labels": NAMES, "labels_file": "labels.txt"}, {"labels": NAMES, "top_k": 4}, {"labels": "red"}]
)
def test_a_config_that_cannot_work_is_refused(make_processor: Make, config: dict) -> None:
    with pytest.raises(BadDocument):
        make_processor("classify", LOGITS, ANSWER, **config)


def test_logits_of_another_count_are_refused(make_processor: Make) -> None:
    classify = make_processor("classify", LOGITS, ANSWER, labels=NAMES, top_k=1)
    with pytest.raises(BadInput, match="3 labels"):
        classify.run({"logits": np.zeros((1, 4), np.float32)})
