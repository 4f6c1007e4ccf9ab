import struct

import pytest

from inference.errors import BadInput
from inference.protocol.messages import Tensor, WantedOutput
from inference.protocol.signature import check_inputs, check_outputs
from inference.spec import Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="a", datatype="FP32", shape=(-1, 2)),
        TensorSpec(name="b", datatype="INT8", shape=(-1, -1), finite=True),
    ),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1,)),),
)


def tensor(name: str, datatype: str, *shape: int) -> Tensor:
    return Tensor(name, datatype, shape, b"")


A, B = tensor("a", "FP32", 3, 2), tensor("b", "INT8", 3, 9)


def test_rows_are_the_first_axis_and_order_does_not_matter() -> None:
    given = [B, A]
    assert check_inputs(given, SIGNATURE) == 3
    assert [tensor.name for tensor in given] == ["a", "b"]


@pytest.mark.parametrize(
    "given, says",
    [
        ([A], "missing: 'b'"),
        ([A, B, tensor("c", "FP32", 3)], "unknown: 'c'"),
        ([A, tensor("bb", "INT8", 3, 9)], "missing: 'b'; unknown: 'bb'"),
        ([A, A], "twice: 'a'"),
        ([tensor("a", "FP64", 3, 2), B], "datatype FP64; the model takes FP32"),
        ([tensor("a", "FP32", 3, 3), B], "shape [3, 3]; the model takes [-1, 2]"),
        ([tensor("a", "FP32", 6), B], "shape [6]; the model takes [-1, 2]"),
        ([tensor("a", "FP32", 0, 2), tensor("b", "INT8", 0, 1)], "no rows"),
        ([A, tensor("b", "INT8", 3, 2**31)], "shape [3, 2147483648]; the model takes [-1, -1]"),
        ([A, tensor("b", "INT8", 3, 2**70)], "(-1 is any size up to 2147483647)"),
        ([A, tensor("b", "INT8", 4, 9)], "'b' has 4 rows and 'a' has 3"),
    ],
)
def test_what_does_not_fit_is_named(given: list[Tensor], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_inputs(list(given), SIGNATURE)
    assert says in str(caught.value)


@pytest.mark.parametrize("datatype, bad, good", [
    ("FP32", struct.pack("<f", float("nan")), struct.pack("<f", 1e38)),
    ("FP64", struct.pack("<d", float("-inf")), struct.pack("<d", 1.0)),
    ("FP16", struct.pack("<e", float("inf")), struct.pack("<e", 1.0)),
    ("BF16", struct.pack("<H", 0x7F80), struct.pack("<H", 0x7F7F)),
])  # fmt: skip
@pytest.mark.parametrize("finite", [True, False])
def test_nan_is_refused_where_the_signature_says_finite(datatype: str, bad: bytes, good: bytes, finite: bool) -> None:
    signature = Signature(inputs=(TensorSpec(name="x", datatype=datatype, shape=(-1,), finite=finite),), outputs=())
    assert check_inputs([Tensor("x", datatype, (1,), good)], signature) == 1
    if finite:
        with pytest.raises(BadInput, match="NaN or infinity"):
            check_inputs([Tensor("x", datatype, (1,), bad)], signature)
    else:
        assert check_inputs([Tensor("x", datatype, (1,), bad)], signature) == 1


def test_an_output_that_is_not_there_is_refused() -> None:
    check_outputs([WantedOutput("y")], SIGNATURE)
    with pytest.raises(BadInput, match="no output 'z'"):
        check_outputs([WantedOutput("z")], SIGNATURE)
