"""Memory that a GPU copies from without a detour: page-locked, two slabs an input, kept from batch to batch."""

from math import prod
from typing import Any

import numpy as np

MAX_SLAB_BYTES = 256 * 1024 * 1024  # page-locked memory is taken from the whole machine: larger batches go without


class PinnedBuffers:
    """Arrays to collate into, two in turn for each name: one is copied from while the next batch is collated.

    An array is valid until its name has been asked for twice more, so at most two batches may be on their way.
    """

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.slabs: dict[str, list[Any]] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        needed = prod(shape) * dtype.itemsize
        if not 0 < needed <= MAX_SLAB_BYTES:
            return np.empty(shape, dtype)
        next_one, last = self.slabs.get(name, (None, None))
        if next_one is None or next_one.numel() < needed:
            # Twice what is needed now: batches grow while traffic does, and each new slab costs a lock of pages.
            size = min(2 * needed, MAX_SLAB_BYTES)
            next_one = self.torch.empty(size, dtype=self.torch.uint8, pin_memory=True)
        self.slabs[name] = [last, next_one]
        return next_one.numpy()[:needed].view(dtype).reshape(shape)
