"""Requests to one batch and back, and what is refused on the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import BadInput, ModelFailed
from inference.protocol.messages import Tensor
from inference.protocol.tensors import from_numpy, to_numpy
from inference.spec import TensorSpec
from inference.worker.collate import (
    check_outputs,
    collate,
    finite_rows,
    form_of,
    free_axes,
    own_lengths,
    read_item,
    split,
)

X = TensorSpec(name="x", datatype="FP32", shape=(-1, 2))
IDS = TensorSpec(name="ids", datatype="INT64", shape=(-1, -1), ragged_axes=(1,), pad_value=7)
TEXT = TensorSpec(name="text", datatype="BYTES", shape=(-1,))


def tensor(values: object, spec: TensorSpec = X, dtype: str = "f4") -> Tensor:
    return from_numpy(spec.name, spec.datatype, np.array(values, dtype=dtype))


def test_rows_of_all_items_stand_one_after_another() -> None:
    items = [read_item([tensor([[1, 2]])], 1, (X,)), read_item([tensor([[3, 4], [5, 6]])], 2, (X,))]
    assert collate(items, (X,))["x"].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_the_array_of_a_lone_item_may_be_written_to_and_leaves_the_frame_as_it_was() -> None:
    sent = tensor([[1, 2]])
    array = collate([read_item([sent], 1, (X,))], (X,))["x"]
    array += 1
    assert to_numpy(sent).tolist() == [[1, 2]]


def test_ragged_axes_are_padded_to_the_longest_of_the_batch() -> None:
    items = [{"ids": np.array([[1]])}, {"ids": np.array([[2, 3, 4], [5, 6, 7]])}]
    assert form_of(items[0], free_axes((IDS,))) == form_of(items[1], free_axes((IDS,)))
    assert collate(items, (IDS,))["ids"].tolist() == [[1, 7, 7], [2, 3, 4], [5, 6, 7]]


def test_ragged_bytes_are_padded_with_empty_ones() -> None:
    words = TensorSpec(name="words", datatype="BYTES", shape=(-1, -1), ragged_axes=(1,))
    items = [{"words": np.array([[b"a"]], object)}, {"words": np.array([[b"b", b"c"]], object)}]
    assert collate(items, (words,))["words"].tolist() == [[b"a", b""], [b"b", b"c"]]


def test_bfloat16_is_padded_with_the_bits_of_the_value() -> None:
    spec = TensorSpec(name="h", datatype="BF16", shape=(-1, -1), ragged_axes=(1,), pad_value=1.0)
    items = [{"h": np.array([[1, 2]], np.uint16)}, {"h": np.array([[3]], np.uint16)}]
    assert collate(items, (spec,))["h"].tolist() == [[1, 2], [3, 0x3F80]]


def test_items_that_differ_along_an_axis_that_is_not_ragged_do_not_share_a_batch() -> None:
    spec = TensorSpec(name="v", datatype="FP32", shape=(-1, -1))
    assert form_of({"v": np.zeros((1, 2))}, free_axes((spec,))) != form_of({"v": np.zeros((1, 3))}, free_axes((spec,)))
    assert form_of({"v": np.zeros((1, 2))}, free_axes((spec,))) == form_of({"v": np.zeros((5, 2))}, free_axes((spec,)))


@pytest.mark.parametrize(
    "tensors, rows, why",
    [
        ([], 1, "Inputs are none; each of x is needed"),
        ([tensor([[1, 2]]), tensor([[1, 2]])], 1, "once, and no other"),
        ([Tensor("y", "FP32", (1, 2), bytes(8))], 1, "Inputs are y"),
        ([Tensor("x", "FP64", (1, 2), bytes(16))], 1, "is FP64; the model takes FP32"),
        ([Tensor("x", "FP32", (1, 3), bytes(12))], 1, r"shape \[1, 3\]; \[1, 2\] is needed"),
        ([Tensor("x", "FP32", (2,), bytes(8))], 2, "is needed"),
        ([tensor([[1, 2]])], 2, r"shape \[1, 2\]; \[2, 2\] is needed"),
        ([Tensor("x", "FP32", (-1, -2), bytes(8))], -1, "is needed"),
        ([Tensor("x", "FP32", (1, 2), bytes(7))], 1, "holds 7 bytes"),
    ],
)
def test_an_item_that_does_not_fit_the_signature_is_refused(tensors: list, rows: int, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        read_item(tensors, rows, (X,))


def test_bytes_that_lie_about_their_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match="inside an element"):
        read_item([Tensor("text", "BYTES", (1,), b"\x09\0\0\0abc")], 1, (TEXT,))


def test_nan_is_refused_only_where_the_signature_says_finite() -> None:
    nan = [tensor([[float("nan"), 1]])]
    assert read_item(nan, 1, (X,))["x"].shape == (1, 2)
    with pytest.raises(BadInput, match="NaN"):
        read_item(nan, 1, (TensorSpec(name="x", datatype="FP32", shape=(-1, 2), finite=True),))


def test_finite_is_told_row_by_row_in_every_float_type() -> None:
    values = np.array([[1, 2], [np.inf, 0], [np.nan, 1]], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    expected = [True, False, False]
    assert finite_rows(values, "FP32").tolist() == expected
    assert finite_rows(values.astype(np.float16), "FP16").tolist() == expected
    assert finite_rows(bits, "BF16").tolist() == expected
    assert finite_rows(bits, "UINT16").all()


@pytest.mark.parametrize(
    "outputs, why",
    [
        ({}, "gave no output 'x'"),
        ({"x": np.zeros((2, 3), np.float32)}, r"shape \[2, 3\]"),
        ({"x": np.zeros((3, 2), np.float32)}, r"\[2, 2\] is in the signature"),
        ({"x": np.zeros((2, 2), np.float64)}, "came as float64"),
    ],
)
def test_a_model_that_breaks_its_word_is_found_out(outputs: dict, why: str) -> None:
    with pytest.raises(ModelFailed, match=why):
        check_outputs(outputs, 2, (X,))


def test_outputs_in_another_memory_order_are_sent_row_by_row() -> None:
    values = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2))
    [share] = split(check_outputs({"x": values}, 3, (X,)), [3], (X,), {})
    assert to_numpy(share[0]).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_a_ragged_output_comes_back_in_each_items_own_length() -> None:
    items = [{"ids": np.array([[1]])}, {"ids": np.array([[2, 3, 4]])}]
    marks = TensorSpec(name="marks", datatype="INT64", shape=(-1, -1), ragged_axes=(1,))
    outputs = {"marks": np.array([[1, 0, 0], [2, 3, 4]])}
    shares = split(outputs, [1, 1], (marks,), own_lengths(items, (IDS,)))
    assert [to_numpy(share[0]).tolist() for share in shares] == [[[1]], [[2, 3, 4]]]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_what_is_collated_and_split_is_what_was_sent(rows: list[int]) -> None:
    floats = [np.random.default_rng(n).random((count, 2), np.float32) for n, count in enumerate(rows)]
    texts = [np.array([f"{n}/{row}".encode() for row in range(count)], object) for n, count in enumerate(rows)]
    items = [
        read_item([from_numpy("x", "FP32", x), from_numpy("text", "BYTES", text)], len(x), (X, TEXT))
        for x, text in zip(floats, texts, strict=True)
    ]
    batch = collate(items, (X, TEXT))
    shares = split(check_outputs(batch, sum(rows), (X, TEXT)), rows, (X, TEXT), {})
    for share, x, text in zip(shares, floats, texts, strict=True):
        assert np.array_equal(to_numpy(share[0]), x)
        assert to_numpy(share[1]).tolist() == text.tolist()
