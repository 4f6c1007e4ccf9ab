"""Token vectors to one vector a row."""

from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from inference.processors.base import Array, read_config
from inference.spec import Stage

SMALLEST_NORM = 1e-12  # so that a zero vector stays zero


class PoolingConfig(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["mean", "cls"] = "mean"
    normalize: bool = True  # to length 1, so that a dot product is the cosine


class Pooling:
    """Takes hidden states [rows, tokens, size] and, for `mean`, the attention mask; adds vectors [rows, size].

    Written in operations that numpy and torch spell alike, so on a GPU only the pooled vectors travel back.
    """

    on_device: ClassVar[bool] = True
    warms_up: ClassVar[bool] = True
    sample: ClassVar[bytes] = b""

    def __init__(self, stage: Stage, folder: Path):
        self.config = read_config(stage, PoolingConfig)
        self.hidden, *mask = (tensor.name for tensor in stage.signature.inputs)
        self.mask = mask[0] if mask else None
        self.output = stage.signature.outputs[0].name

    def run(self, tensors: dict[str, Array]) -> dict[str, Array]:
        hidden = tensors[self.hidden]
        if self.config.mode == "cls":
            vectors = hidden[:, 0]
        elif self.mask is None:
            vectors = hidden.mean(1)
        else:
            mask = tensors[self.mask] != 0  # boolean: an integer mask would make numpy answer in float64
            vectors = (hidden * mask[:, :, None]).sum(1) / mask.sum(1).clip(1)[:, None]
        if self.config.normalize:
            vectors = vectors / ((vectors * vectors).sum(1) ** 0.5).clip(SMALLEST_NORM)[:, None]
        return {self.output: vectors}
