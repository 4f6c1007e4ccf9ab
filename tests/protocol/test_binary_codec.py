import json
import struct
from typing import Any

import pytest

from inference.errors import BadInput
from inference.protocol import binary_codec
from inference.protocol.messages import InferRequest, InferResponse, Tensor, WantedOutput
from inference.protocol.tensors import pack_bytes
from inference.spec import Signature, TensorSpec

X = struct.pack("<4I", 1, 2, 3, 4)


def binary(*inputs: dict[str, Any], tail: bytes = b"", **more: Any) -> tuple[bytes, int]:
    head = json.dumps({"inputs": list(inputs), **more}).encode()
    return head + tail, len(head)


def item(name: str, datatype: str, shape: list[int], size: object) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def test_tensors_follow_the_head_in_its_order_and_json_may_stand_between() -> None:
    words = pack_bytes([b"a", b"\xff\x00"])
    raw, length = binary(
        item("x", "UINT32", [2, 2], 16),
        {"name": "j", "datatype": "INT8", "shape": [1], "data": [5]},
        item("b", "BYTES", [2], len(words)),
        item("t", "BOOL", [3], 3),
        tail=X + words + b"\x01\x00\x01",
        parameters={"binary_data_output": True},
    )
    request = binary_codec.decode_request("m", "", raw, length)
    assert [bytes(tensor.data) for tensor in request.inputs] == [X, b"\x05", words, b"\x01\x00\x01"]
    assert request.binary_output
    assert binary_codec.wants_binary(request)


@pytest.mark.parametrize(
    "given, tail, says",
    [
        (item("x", "UINT32", [2, 2], 16), X[:-1], "15 are left"),
        (item("x", "UINT32", [2, 2], 16), X + b"!", "17 bytes follow"),
        (item("x", "UINT32", [2, 2], 12), X[:12], "needs 16"),
        (item("x", "UINT32", [2, 2], -1), X, "takes a number of bytes"),
        (item("x", "UINT32", [2, 2], True), X, "takes a number of bytes"),
        (item("x", "UINT32", [2, 2], "16"), X, "takes a number of bytes"),
        (item("x", "BYTES", [1], 3), b"\x00\x00\x00", "inside a length"),
        (item("x", "BYTES", [1], 5), b"\x09\x00\x00\x00a", "inside an element"),
        (item("x", "BYTES", [3], 5), b"\x01\x00\x00\x00a", "needs 3"),
        (item("x", "UINT32", [2**40, 2**40], 16), X, "needs"),
        ({**item("x", "UINT32", [2, 2], 16), "data": [1, 2, 3, 4]}, X, "both data and binary_data_size"),
    ],
)
def test_a_body_that_lies_about_its_bytes_is_refused(given: dict[str, Any], tail: bytes, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        binary_codec.decode_request("m", "", *binary(given, tail=tail))
    assert says in str(caught.value)


def test_a_head_longer_than_the_body_is_refused() -> None:
    with pytest.raises(BadInput, match="cut off"):
        binary_codec.decode_request("m", "", b"{}", 3)


def signature(*tensors: tuple[str, tuple[int, ...]]) -> Signature:
    return Signature(
        inputs=tuple(TensorSpec(name="x", datatype=kind, shape=shape) for kind, shape in tensors), outputs=()
    )


@pytest.mark.parametrize("kind, declared, body, shape", [
    ("FP32", (-1, 4), bytes(16), (1, 4)), ("FP32", (-1, -1), bytes(12), (1, 3)),
    ("UINT8", (-1, 2, -1), bytes(6), (1, 2, 3)), ("BYTES", (-1,), b"any text", (1,)),
])  # fmt: skip
def test_a_raw_body_is_the_one_input_as_one_row(kind: str, declared: tuple, body: bytes, shape: tuple) -> None:
    request = binary_codec.decode_raw_request("m", "", body, signature((kind, declared)))
    assert request.inputs[0].shape == shape
    assert request.binary_output


@pytest.mark.parametrize("tensors, body", [
    ([("FP32", (-1, 4)), ("FP32", (-1, 4))], bytes(16)), ([("FP32", (-1, 4))], bytes(15)),
    ([("FP32", (-1, -1, -1))], bytes(16)),
])  # fmt: skip
def test_a_raw_body_that_cannot_be_one_row_is_refused(tensors: list, body: bytes) -> None:
    with pytest.raises(BadInput):
        binary_codec.decode_raw_request("m", "", body, signature(*tensors))


def test_each_output_comes_as_it_was_asked_for() -> None:
    response = InferResponse("m", "1", "7", [Tensor("a", "UINT32", (4,), X), Tensor("b", "UINT8", (1,), b"\x09")])
    asked = InferRequest("m", outputs=[WantedOutput("a"), WantedOutput("b", binary=False)], binary_output=True)
    body, tail, length = binary_codec.encode_response(response, asked)
    assert tail == ()
    head = json.loads(body[:length])
    assert head["outputs"][0] == {
        "name": "a",
        "datatype": "UINT32",
        "shape": [4],
        "parameters": {"binary_data_size": 16},
    }
    assert head["outputs"][1]["data"] == [9]
    assert (head["id"], body[length:]) == ("7", X)
