"""Page-locked memory, where there is a GPU to copy from it."""

import shutil

import numpy as np
import pytest

from inference.worker.buffers import MAX_SLAB_BYTES, PinnedBuffers

pytestmark = pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs a GPU: page-locked memory is CUDA's")


def test_arrays_are_page_locked_and_of_the_asked_shape() -> None:
    import torch

    array = PinnedBuffers()("x", (3, 4), np.dtype("<f4"))
    assert (array.shape, array.dtype) == ((3, 4), np.float32)
    assert torch.from_numpy(array).is_pinned()


def test_a_name_has_two_arrays_in_turn_and_keeps_their_memory_until_a_batch_is_larger() -> None:
    buffers = PinnedBuffers()
    first, second = (buffers("x", (4,), np.dtype("<f4")) for _ in range(2))
    assert not np.shares_memory(first, second)
    assert np.shares_memory(first, buffers("x", (8,), np.dtype("<f4")))
    assert np.shares_memory(second, buffers("x", (4,), np.dtype("<f4")))
    assert not np.shares_memory(first, buffers("x", (1000,), np.dtype("<f4")))
    assert not np.shares_memory(first, buffers("y", (4,), np.dtype("<f4")))


def test_what_is_too_large_to_lock_is_ordinary_memory() -> None:
    import torch

    array = PinnedBuffers()("x", (MAX_SLAB_BYTES + 1,), np.dtype("u1"))
    assert not torch.from_numpy(array).is_pinned()
