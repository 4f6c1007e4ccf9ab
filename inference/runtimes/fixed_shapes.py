"""Batches filled up to one of a few shapes, and their answers cut back: what compiled code and CUDA graphs need.

Rows are filled up with copies of the last row, which the model is known to take, where zeros might be a division by
zero; lengths with each input's pad value, as batch-mates of other lengths would.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

from inference.policy.acceleration import fill_up
from inference.spec import Signature, TensorSpec

Tensors = dict[str, torch.Tensor]


class Own(NamedTuple):
    """What a batch was before it was filled up."""

    rows: int
    lengths: dict[int, int]  # filled length → own


class FixedShapes:
    def __init__(self, signature: Signature, batch_sizes: Sequence[int], lengths: Sequence[int]):
        self.inputs = {spec.name: spec for spec in signature.inputs}
        self.ragged_outputs = {spec.name: spec.ragged_axes for spec in signature.outputs}
        self.batch_sizes, self.lengths = batch_sizes, lengths

    def fill(self, inputs: Tensors) -> tuple[Tensors, Own]:
        rows = len(next(iter(inputs.values())))
        wanted = fill_up(rows, self.batch_sizes)
        own = Own(rows, {})
        return {name: self.fill_one(tensor, self.inputs[name], wanted, own) for name, tensor in inputs.items()}, own

    def fill_one(self, tensor: torch.Tensor, spec: TensorSpec, rows: int, own: Own) -> torch.Tensor:
        missing = [0] * (2 * tensor.dim())  # as functional.pad has it: pairs (before, after), the last axis first
        for axis in spec.ragged_axes:
            length = tensor.shape[axis]
            filled = fill_up(length, self.lengths)
            own.lengths[filled] = max(length, own.lengths.get(filled, 0))
            missing[2 * (tensor.dim() - axis) - 1] = filled - length
        if any(missing):
            tensor = functional.pad(tensor, missing, value=spec.pad_value)
        if rows > len(tensor):
            tensor = torch.cat((tensor, tensor[-1:].expand(rows - len(tensor), *tensor.shape[1:])))
        return tensor

    def cut(self, outputs: Tensors, own: Own) -> Tensors:
        """The rows that came, and of outputs with a ragged axis the lengths that came."""
        answers = {}
        for name, tensor in outputs.items():
            for axis in self.ragged_outputs.get(name, ()):
                length = own.lengths.get(tensor.shape[axis])
                if length is not None:
                    tensor = tensor.narrow(axis, 0, length)
            answers[name] = tensor[: own.rows]
        return answers
