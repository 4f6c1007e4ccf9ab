"""The short way gives what the long way gives, or nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import SwitchyardError
from inference.protocol import json_codec, json_quick
from inference.protocol.messages import InferRequest

DATATYPES = st.sampled_from(
    ["FP32", "FP16", "FP64", "BF16", "INT8", "UINT8", "INT64", "UINT64", "BOOL", "BYTES", "FP31"]
)
NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65), st.integers(-3, 300), st.floats(allow_nan=False, allow_infinity=False), st.booleans(),
    st.sampled_from(["1", None, [1], [2.5, 3]]),
)  # fmt: skip
INPUTS = st.fixed_dictionaries(
    {
        "name": st.text(max_size=3),
        "datatype": DATATYPES,
        "shape": st.lists(st.integers(-2, 4), max_size=3),
        "data": st.lists(NUMBERS, max_size=6),
    },
    optional={"parameters": st.sampled_from([{}, {"binary_data_size": 4}, {"x": 1}, 3])},
)
BODIES = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=2)},
    optional={
        "id": st.one_of(st.text(max_size=3), st.integers()),
        "outputs": st.lists(st.fixed_dictionaries({"name": st.text(max_size=2)}), max_size=2),
        "parameters": st.sampled_from(
            [{"priority": 1}, {"timeout": 5}, {"sequence_id": 2}, {"binary_data_output": True}]
        ),
    },
)  # fmt: skip


def long_way(body: bytes) -> InferRequest | str:
    try:
        return json_codec.decode_request("m", "1", body)
    except SwitchyardError as error:
        return str(error)


@given(BODIES, st.sampled_from([float, int]))
def test_whatever_it_takes_it_reads_as_the_long_way_does(body: dict[str, Any], kind: type) -> None:
    raw = json.dumps(body).encode()
    try:
        quick: InferRequest | str | None = json_quick.decode_request(kind, "m", "1", raw)
    except SwitchyardError as error:
        quick = str(error)
    assert quick is None or quick == long_way(raw)


@pytest.mark.parametrize("datatype, kind, data", [
    ("FP32", float, [0.1, 2, -3e38, 4.0]), ("FP64", float, [1e-300, 2, 3, 4]),
    ("INT64", int, [2**63 - 1, -(2**63), 0, 1]), ("UINT8", int, [0, 255, 1, 2]),
])  # fmt: skip
def test_plain_requests_go_the_short_way(datatype: str, kind: type, data: list[Any]) -> None:
    body = json.dumps(
        {"id": "7", "inputs": [{"name": "x", "datatype": datatype, "shape": [2, 2], "data": data}]}
    ).encode()
    quick = json_quick.decode_request(kind, "m", "1", body)
    assert quick is not None
    assert quick == long_way(body)
    assert json_quick.guess_kind(quick) is kind


@pytest.mark.parametrize("body", [
    b"", b"{", b'{"inputs": []}', b'{"inputs": 3}', b"\xff", b"[" * 100_000,
    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1e39]}]}',
    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,-1],"data":[1]}]}',
    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[1]}]}',
    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[[1]]}]}',
    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":["1"]}]}',
    b'{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1]}]}',
    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[' + b"1," * 50_000 + b'1],"data":[1]}]}',
])  # fmt: skip
def test_what_is_wrong_or_unusual_is_left_to_the_long_way(body: bytes) -> None:
    assert json_quick.decode_request(float, "m", "", body) is None


def test_mixed_inputs_have_no_kind() -> None:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]},
        {"name": "y", "datatype": "INT8", "shape": [1], "data": [1]},
    ]
    asked = json_codec.decode_request("m", "", json.dumps({"inputs": inputs}).encode())
    assert json_quick.guess_kind(asked) is None
