"""An answer of the gateway as people read it: labels with their scores, vectors as a picture, numbers, texts."""

import json
import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from console.serving.services import InferAnswer

VECTOR_FROM = 16  # values in a row from which a picture says more than a list
MOST_VALUES = 64
MOST_ROWS = 16
MOST_RAW = 20_000  # characters of JSON shown
WIDTH, HEIGHT = 384, 64  # of the picture of a vector


@dataclass(frozen=True)
class Scored:
    label: str
    percent: float


@dataclass(frozen=True)
class Vector:
    size: int
    norm: float
    low: float
    high: float
    first: list[str]
    path: str  # SVG path of the values, zero in the middle


@dataclass(frozen=True)
class Output:
    """One output. `kind` says which of the parts below holds it."""

    name: str
    datatype: str
    shape: list[int]
    kind: str  # scores | vectors | values
    scores: list[list[Scored]] = field(default_factory=list)  # rows of labels, best first
    vectors: list[Vector] = field(default_factory=list)
    alike: list[list[float]] = field(default_factory=list)  # cosine of each pair of rows
    values: list[str] = field(default_factory=list)
    more: int = 0  # values that are not shown


@dataclass(frozen=True)
class Span:
    name: str
    start: float  # percent of the whole
    width: float
    ms: float
    series: str


@dataclass(frozen=True)
class Shown:
    answer: InferAnswer
    outputs: list[Output]
    spans: list[Span]
    raw: str
    problem: str = ""  # of the gateway, where it refused


def show_answer(answer: InferAnswer) -> Shown:
    text = json.dumps(answer.body, indent=2, ensure_ascii=False)
    raw = text if len(text) <= MOST_RAW else f"{text[:MOST_RAW]}\n… {len(text) - MOST_RAW:,} characters more"
    problem = "" if answer.ok else str(answer.body.get("error", "The gateway gave no reason."))
    return Shown(answer, read_outputs(answer.body.get("outputs", [])), spans_of(answer), raw, problem)


def read_outputs(tensors: list[dict[str, Any]]) -> list[Output]:
    """Labels and scores of one shape belong together and are shown as one."""
    outputs, used = [], set()
    for label in tensors:
        if label["datatype"] != "BYTES" or len(label["shape"]) != 2:
            continue
        score = next((t for t in tensors if is_score_of(t, label) and t["name"] not in used), None)
        if score is not None:
            used |= {label["name"], score["name"]}
            outputs.append(scored_output(label, score))
    return outputs + [plain_output(tensor) for tensor in tensors if tensor["name"] not in used]


def is_score_of(tensor: dict[str, Any], label: dict[str, Any]) -> bool:
    return tensor["datatype"].startswith("FP") and tensor["shape"] == label["shape"]


def scored_output(label: dict[str, Any], score: dict[str, Any]) -> Output:
    width = label["shape"][1]
    pairs = [Scored(str(name), 100 * float(value)) for name, value in zip(label["data"], score["data"], strict=True)]
    rows = [sorted(pairs[at : at + width], key=lambda pair: -pair.percent) for at in range(0, len(pairs), width)]
    name = f"{label['name']}, {score['name']}"
    return Output(name, "BYTES, " + score["datatype"], label["shape"], "scores", scores=rows[:MOST_ROWS])


def plain_output(tensor: dict[str, Any]) -> Output:
    name, datatype, shape, data = tensor["name"], tensor["datatype"], tensor["shape"], flatten(tensor.get("data", []))
    if datatype.startswith(("FP", "BF")) and len(shape) == 2 and shape[1] >= VECTOR_FROM:
        rows = [[float(value) for value in data[at : at + shape[1]]] for at in range(0, len(data), shape[1])]
        rows = rows[:MOST_ROWS]
        return Output(name, datatype, shape, "vectors", vectors=[vector_of(row) for row in rows], alike=cosines(rows))
    shown = [spell(value) for value in data[:MOST_VALUES]]
    return Output(name, datatype, shape, "values", values=shown, more=max(0, len(data) - MOST_VALUES))


def flatten(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    return [value for item in data for value in flatten(item)] if any(isinstance(item, list) for item in data) else data


def spell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def vector_of(row: list[float]) -> Vector:
    peak = max((abs(value) for value in row), default=0.0) or 1.0
    step, middle = WIDTH / max(1, len(row)), HEIGHT / 2
    strokes = (f"M{step * (at + 0.5):.1f} {middle:g}v{-value / peak * middle:.1f}" for at, value in enumerate(row))
    return Vector(
        size=len(row),
        norm=math.sqrt(sum(value * value for value in row)),
        low=min(row, default=0.0),
        high=max(row, default=0.0),
        first=[f"{value:.4f}" for value in row[:6]],
        path="".join(strokes),
    )


def cosines(rows: list[list[float]]) -> list[list[float]]:
    """How alike the rows are; nothing for a single one."""
    if len(rows) < 2:
        return []
    norms = [math.sqrt(sum(value * value for value in row)) or 1.0 for row in rows]
    return [
        [sum(x * y for x, y in zip(a, b, strict=True)) / (norms[i] * norms[j]) for j, b in enumerate(rows)]
        for i, a in enumerate(rows)
    ]


def spans_of(answer: InferAnswer) -> list[Span]:
    """Where the time went, in order: console to gateway, queue, model, and what is left of the gateway's own."""
    timing, whole = answer.timing_ms, answer.duration_ms
    if "total" not in timing or whole <= 0:
        return []
    queue, compute = timing.get("queue", 0.0), timing.get("compute", 0.0)
    parts = [
        ("console", max(0.0, whole - timing["total"]), "f-mut"),
        ("queue", queue, "x4"),
        ("model", compute, "x1"),
        ("gateway", max(0.0, timing["total"] - queue - compute), "x7"),
    ]
    ends = [0.0]
    for _, ms, _ in parts:
        ends.append(ends[-1] + ms)
    whole = max(whole, ends[-1])
    places = [(100 * start / whole, 100 * (end - start) / whole) for start, end in pairwise(ends)]
    return [
        Span(name, start, width, ms, series) for (name, ms, series), (start, width) in zip(parts, places, strict=True)
    ]
