import numpy as np
import pytest

from inference.errors import BadInput
from inference.protocol.classification import classify
from inference.protocol.messages import Tensor
from inference.protocol.tensors import NUMPY_KIND, from_numpy, pack_bytes, unpack_bytes


def classes(values: object, k: int, datatype: str = "FP32", labels: tuple[str, ...] = ()) -> list[str]:
    tensor = from_numpy("y", datatype, np.array(values, NUMPY_KIND[datatype]))
    return [element.decode() for element in unpack_bytes(classify(tensor, k, labels).data)]


def test_the_best_of_each_row_come_first_with_their_labels_where_known() -> None:
    assert classes([[0.1, 0.7, 0.2], [3, 1, 2]], 2, labels=("cat", "dog")) == [
        "0.7:1:dog", "0.2:2", "3.0:0:cat", "2.0:2",
    ]  # fmt: skip


def test_equal_values_keep_their_order_and_nan_is_last() -> None:
    assert classes([[np.nan, 1, 2, 2]], 4) == ["2.0:2", "2.0:3", "1.0:1", "nan:0"]


def test_more_than_there_are_is_all_of_them() -> None:
    answer = classify(from_numpy("y", "FP32", np.zeros((2, 3), np.float32)), 9)
    assert (answer.datatype, answer.shape) == ("BYTES", (2, 3))


@pytest.mark.parametrize("datatype, low, high", [
    ("UINT8", 0, 255), ("INT8", -128, 127), ("INT64", -(2**63), 2**63 - 1), ("UINT64", 0, 2**64 - 1),
])  # fmt: skip
def test_whole_numbers_are_ranked_to_the_ends_of_their_range(datatype: str, low: int, high: int) -> None:
    assert classes([[0, low, high, 1]], 3, datatype)[0] == f"{high}:2"
    assert classes([[7, low, high, 8]], 4, datatype)[-1] == f"{low}:1"


def test_bf16_is_ranked_by_value() -> None:
    tensor = Tensor("y", "BF16", (1, 3), np.array([0x3F80, 0xC000, 0x4000], "<u2").tobytes())  # 1, -2, 2
    assert unpack_bytes(classify(tensor, 3).data) == [b"2.0:2", b"1.0:0", b"-2.0:1"]


def test_all_axes_after_the_rows_are_classes() -> None:
    assert classes([[[1, 5], [7, 2]]], 2) == ["7.0:2", "5.0:1"]


def test_text_has_no_classes() -> None:
    with pytest.raises(BadInput, match="needs numbers"):
        classify(Tensor("y", "BYTES", (1,), pack_bytes([b"a"])), 1)
