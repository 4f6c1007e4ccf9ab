"""How an answer is shown: labels with their scores, vectors with what they have in common, times that add up."""

import pytest

from console.serving.services import InferAnswer
from console.serving.views.answers import MOST_RAW, read_outputs, show_answer


def answer(outputs, *, status=200, timing=None, duration_ms=10.0, **body):
    return InferAnswer(
        status=status, body={"outputs": outputs, **body}, version=1, duration_ms=duration_ms, timing_ms=timing or {}
    )


def tensor(name, datatype, shape, data):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def test_labels_and_scores_of_one_shape_are_one_answer_best_first():
    labels = tensor("label", "BYTES", [2, 2], ["cat", "dog", "owl", "fox"])
    scores = tensor("score", "FP32", [2, 2], [0.2, 0.8, 0.9, 0.1])
    (shown,) = read_outputs([labels, scores])
    assert shown.kind == "scores"
    assert [[(one.label, round(one.percent)) for one in row] for row in shown.scores] == [
        [("dog", 80), ("cat", 20)],
        [("owl", 90), ("fox", 10)],
    ]


def test_a_vector_is_drawn_and_compared_with_the_others():
    rows = [1.0] + [0.0] * 15 + [0.0] * 15 + [2.0]
    (shown,) = read_outputs([tensor("embedding", "FP32", [2, 16], rows)])
    assert shown.kind == "vectors"
    assert [vector.norm for vector in shown.vectors] == [1.0, 2.0]
    assert shown.alike == [[1.0, 0.0], [0.0, 1.0]]
    assert shown.vectors[0].path.startswith("M12.0 32v-32.0")


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]]])
def test_other_values_are_listed_flat_or_nested(data):
    (shown,) = read_outputs([tensor("ids", "INT64", [2, 2], data)])
    assert (shown.kind, shown.values, shown.more) == ("values", ["1", "2", "3", "4"], 0)


def test_long_answers_say_how_much_is_left_out():
    shown = show_answer(answer([tensor("ids", "INT64", [9000], list(range(9000)))]))
    assert shown.outputs[0].more == 9000 - 64
    assert len(shown.raw) < MOST_RAW + 100
    assert "characters more" in shown.raw


def test_the_parts_of_the_time_add_up_to_the_whole():
    shown = show_answer(answer([], timing={"queue": 1.0, "compute": 6.0, "total": 8.0}, duration_ms=10.0))
    assert [(span.name, span.ms) for span in shown.spans] == [
        ("console", 2.0), ("queue", 1.0), ("model", 6.0), ("gateway", 1.0),
    ]  # fmt: skip
    last = shown.spans[-1]
    assert last.start + last.width == pytest.approx(100)


def test_a_refusal_of_the_gateway_is_shown_in_its_words():
    shown = show_answer(answer([], status=503, error="The queue is full."))
    assert shown.problem == "The queue is full."
