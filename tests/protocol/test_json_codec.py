import json
import struct
from typing import Any

import numpy as np
import pytest

from inference.errors import BadInput, OutputNotFinite, UnsupportedFeature
from inference.protocol import json_codec
from inference.protocol.messages import InferResponse, Tensor
from inference.protocol.tensors import pack_bytes, to_numpy, unpack_bytes


def body(datatype: str, shape: list[int], data: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}], **more}).encode()


def decode(datatype: str, shape: list[int], data: Any) -> Tensor:
    return json_codec.decode_request("m", "", body(datatype, shape, data)).inputs[0]


VALUES = [
    ("BOOL", [True, False]), ("UINT8", [0, 255]), ("UINT16", [0, 65535]), ("UINT32", [0, 2**32 - 1]),
    ("UINT64", [0, 2**64 - 1]), ("INT8", [-128, 127]), ("INT16", [-(2**15), 2**15 - 1]),
    ("INT32", [-(2**31), 2**31 - 1]),
    ("INT64", [-(2**63), 2**63 - 1]), ("FP16", [0.5, -65504.0]), ("BF16", [1.5, -2.0]), ("FP32", [0.25, -3.4e38]),
    ("FP64", [0.1, -1.7e308]), ("BYTES", ["grüße", ""]),
]  # fmt: skip


@pytest.mark.parametrize("datatype, values", VALUES)
@pytest.mark.parametrize("nested", [False, True])
def test_every_datatype_goes_in_and_out_unharmed(datatype: str, values: list[Any], nested: bool) -> None:
    tensor = decode(datatype, [1, 2], [values] if nested else values)
    assert tensor.shape == (1, 2)
    encoded = json_codec.encode_response(InferResponse("m", "1", outputs=[tensor]))
    out = json.loads(encoded)["outputs"][0]
    assert (out["datatype"], out["shape"]) == (datatype, [1, 2])
    assert out["data"] == pytest.approx(values) if datatype == "FP32" else out["data"] == values


def test_numbers_lie_as_numpy_and_clients_expect() -> None:
    assert decode("FP32", [1, 2], [1, 2.5]).data == struct.pack("<2f", 1, 2.5)
    assert to_numpy(decode("INT64", [2, 1], [[-1], [2]])).tolist() == [[-1], [2]]
    assert unpack_bytes(decode("BYTES", [2], ["a", "ß"]).data) == [b"a", "ß".encode()]


def test_bf16_rounds_to_the_nearest_even() -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, 3.14159], dtype=np.float32)
    bits = np.frombuffer(decode("BF16", [4], values.tolist()).data, dtype="<u2")
    assert bits.tolist() == [0x3F80, 0x3F80, 0x3F82, 0x4049]


@pytest.mark.parametrize(
    "datatype, shape, data, says",
    [
        ("FP32", [1, 2], [1.0], "holds 1 values; its shape [1, 2] needs 2"),
        ("FP32", [1, 2], [[1.0, 2.0, 3.0]], "a row of 3 on axis 1"),
        ("FP32", [2, 2], [[1.0, 2.0], [3.0]], "a row of 1 on axis 1"),
        ("FP32", [1, 2], [[[1.0, 2.0]]], "nests 3 deep"),
        ("FP32", [1], ["1"], "Expected `float`, got `str`"),
        ("FP32", [1], [True], "Expected `float`, got `bool`"),
        ("FP32", [1], [None], "Expected `float`, got `null`"),
        ("FP32", [1], [1e39], "does not fit FP32"),
        ("FP16", [1], [1e6], "does not fit FP16"),
        ("BF16", [1], [3.4e38], "does not fit BF16"),
        ("UINT8", [1], [256], "does not fit UINT8"),
        ("INT32", [1], [1.5], "Expected `int`, got `float`"),
        ("BOOL", [1], [1], "Expected `bool`, got `int`"),
        ("BYTES", [1], [7], "Expected `str`, got `int`"),
        ("FP32", [1], {"a": 1}, "Expected `array`"),
        ("FLOAT", [1], [1.0], "unknown datatype 'FLOAT'"),
        ("FP32", [-1], [1.0], "none below zero"),
        ("FP32", [1] * 17, [1.0], "at most 16 sizes"),
    ],
)
def test_wrong_data_is_named(datatype: str, shape: list[int], data: Any, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        decode(datatype, shape, data)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"inputs": []}', b'{"inputs": 3}',
        b'{"inputs": [{"name": 1}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [NaN]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [Infinity]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1e999]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1.5], "data": [1]}]}',
        b'{"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["\\ud800"]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [99999999999999999999], "data": [1]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}], "parameters": {"a": [1]}}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}], "parameters": {"timeout": -1}}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]} trailing',
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput):
        json_codec.decode_request("m", "", raw)


@pytest.mark.parametrize(
    "around",
    [
        b"%b", b'{"inputs": %b}', b'{"id": "1", "other": %b}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": %b}]}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
def test_a_million_brackets_are_refused_not_followed(around: bytes, pair: tuple[bytes, bytes]) -> None:
    depth = 1_000_000
    with pytest.raises(BadInput):
        json_codec.decode_request("m", "", around % (pair[0] * depth + b"1" + pair[1] * depth))


def test_the_id_and_reserved_parameters_are_read() -> None:
    raw = body("FP32", [1], [1], id="42", parameters={"priority": 2, "timeout": 1500, "tag": "x"},
               outputs=[{"name": "y", "parameters": {"binary_data": False}}])  # fmt: skip
    request = json_codec.decode_request("m", "3", raw)
    assert (request.id, request.version, request.priority, request.timeout_s) == ("42", "3", 2, 0.0015)
    assert request.parameters["tag"] == "x"
    assert [(output.name, output.binary) for output in request.outputs] == [("y", False)]


OUTPUT = {"name": "y", "parameters": {"shared_memory_region": "r"}}


@pytest.mark.parametrize("more", [{"parameters": {"sequence_id": 1}}, {"outputs": [OUTPUT]}])
def test_what_the_protocol_has_and_we_do_not_is_said_to_be_so(more: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeature):
        json_codec.decode_request("m", "", body("FP32", [1], [1], **more))


def test_binary_data_needs_its_header() -> None:
    raw = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}]}
    )
    with pytest.raises(BadInput, match="Inference-Header-Content-Length"):
        json_codec.decode_request("m", "", raw.encode())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_answer_that_json_cannot_carry_is_an_error_not_a_null(bad: float) -> None:
    tensor = Tensor("y", "FP32", (1, 2), struct.pack("<2f", 1, bad))
    with pytest.raises(OutputNotFinite, match="binary_data"):
        json_codec.encode_response(InferResponse("m", "1", outputs=[tensor]))


def test_the_word_null_in_an_answer_is_just_a_word() -> None:
    tensor = Tensor("y", "BYTES", (1,), pack_bytes([b"null"]))
    assert json.loads(json_codec.encode_response(InferResponse("m", "1", "null", [tensor])))["id"] == "null"


def test_bytes_that_are_no_text_are_not_forced_into_json() -> None:
    with pytest.raises(BadInput, match="binary_data"):
        json_codec.encode_response(InferResponse("m", "1", outputs=[Tensor("y", "BYTES", (1,), pack_bytes([b"\xff"]))]))
