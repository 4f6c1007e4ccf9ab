import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import ModelFailed
from inference.protocol.rows import cut, join
from inference.protocol.tensors import from_numpy, to_numpy


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.sampled_from([(), (3,), (2, 2)]), st.booleans())
def test_what_is_cut_is_joined_to_the_same(sizes: list[int], rest: tuple[int, ...], text: bool) -> None:
    shape = (sum(sizes), *rest)
    values = np.arange(np.prod(shape)).reshape(shape)
    if text:
        tensor = from_numpy("t", "BYTES", np.array([b"x" * (n % 7) for n in values.ravel()], object).reshape(shape))
    else:
        tensor = from_numpy("t", "INT32", values)
    parts = cut(tensor, sizes)
    assert [part.shape for part in parts] == [(size, *rest) for size in sizes]
    joined = join(parts)
    assert (joined.shape, bytes(joined.data)) == (tensor.shape, bytes(tensor.data))
    assert np.array_equal(np.concatenate([to_numpy(part) for part in parts]), to_numpy(tensor))


def test_parts_that_differ_in_more_than_rows_are_not_joined() -> None:
    parts = [from_numpy("t", "FP32", np.zeros((1, width), np.float32)) for width in (2, 3)]
    with pytest.raises(ModelFailed, match="different shapes"):
        join(parts)
