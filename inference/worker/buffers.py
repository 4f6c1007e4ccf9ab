"""Memory that a GPU copies from without a detour: page-locked, one slab an input, kept from batch to batch."""

from math import prod
from typing import Any

import numpy as np

MAX_SLAB_BYTES = 256 * 1024 * 1024  # page-locked memory is taken from the whole machine: larger batches go without


class PinnedBuffers:
    """Arrays to collate into. One name's array is valid until that name is asked for again: one batch at a time."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.slabs: dict[str, Any] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        needed = prod(shape) * dtype.itemsize
        if not 0 < needed <= MAX_SLAB_BYTES:
            return np.empty(shape, dtype)
        slab = self.slabs.get(name)
        if slab is None or slab.numel() < needed:
            # Twice what is needed now: batches grow while traffic does, and each new slab costs a lock of pages.
            size = min(2 * needed, MAX_SLAB_BYTES)
            slab = self.slabs[name] = self.torch.empty(size, dtype=self.torch.uint8, pin_memory=True)
        return slab.numpy()[:needed].view(dtype).reshape(shape)
