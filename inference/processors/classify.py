"""Logits to the k most likely labels and their scores."""

from pathlib import Path
from typing import ClassVar, Literal

import msgspec
import numpy as np

from inference.errors import BadDocument, BadInput
from inference.processors.base import Array, artifact_file, read_config
from inference.spec import Positive, Stage


class ClassifyConfig(msgspec.Struct, forbid_unknown_fields=True):
    top_k: Positive = 3
    labels: list[str] = []
    labels_file: str = ""  # a line a label, instead of `labels`
    activation: Literal["softmax", "none"] = "softmax"  # none: the model gives probabilities already


class Classifier:
    """Takes logits [rows, classes]; adds labels BYTES [rows, k] and, where declared, scores FP32 [rows, k]."""

    on_device: ClassVar[bool] = False
    warms_up: ClassVar[bool] = True
    sample: ClassVar[bytes] = b""

    def __init__(self, stage: Stage, folder: Path):
        config = read_config(stage, ClassifyConfig)
        if bool(config.labels) == bool(config.labels_file):
            raise BadDocument(f"Stage {stage.name!r} (classify) needs its labels once: as labels or as labels_file.")
        lines = config.labels or artifact_file(folder, config.labels_file).read_text().splitlines()
        if config.top_k > len(lines):
            raise BadDocument(f"Stage {stage.name!r} wants the top {config.top_k} of {len(lines)} labels.")
        self.labels = np.array([line.encode() for line in lines], dtype=object)
        self.top_k, self.softmax = config.top_k, config.activation == "softmax"
        self.logits = stage.signature.inputs[0].name
        self.label, *score = (tensor.name for tensor in stage.signature.outputs)
        self.score = score[0] if score else None

    def run(self, tensors: dict[str, Array]) -> dict[str, Array]:
        logits = np.asarray(tensors[self.logits], dtype=np.float32)
        if logits.ndim != 2 or logits.shape[1] != len(self.labels):
            raise BadInput(f"{self.logits!r} has the shape {list(logits.shape)}; {len(self.labels)} labels are known.")
        scores = softmax(logits) if self.softmax else logits
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.top_k]  # stable: ties go to the first label
        answer = {self.label: self.labels[best]}
        if self.score:
            answer[self.score] = np.take_along_axis(scores, best, axis=1)
        return answer


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
