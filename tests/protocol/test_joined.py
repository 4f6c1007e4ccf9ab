"""What many requests share is what each would have had alone."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import OutputNotFinite
from inference.protocol import json_codec
from inference.protocol.joined import share_out
from inference.protocol.messages import InferResponse, Tensor
from inference.protocol.rows import cut
from inference.protocol.tensors import from_numpy, pack_bytes


def answer(tensor: Tensor) -> Any:
    return json.loads(json_codec.encode_response(InferResponse("m", "1", outputs=[tensor])))["outputs"][0]


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=6),
    st.integers(0, 3),
    st.sampled_from(["FP32", "FP16", "INT64", "BOOL", "BF16"]),
)
def test_shares_are_the_parts_of_a_cut(sizes: list[int], width: int, datatype: str) -> None:
    values = np.arange(sum(sizes) * width).reshape(sum(sizes), width)
    dtype = {"FP32": "<f4", "FP16": "<f2", "INT64": "<i8", "BOOL": "?", "BF16": "<u2"}[datatype]
    tensor = from_numpy("y", datatype, (values % 200).astype(dtype))
    shares, parts = share_out(tensor, sizes), cut(tensor, sizes)
    for share, part in zip(shares, parts, strict=True):
        assert (share.shape, bytes(share.data)) == (part.shape, bytes(part.data))
        assert answer(share) == answer(part)


def test_texts_are_shared_out_too() -> None:
    tensor = Tensor("y", "BYTES", (3, 1), pack_bytes([b"a", b"", "grüße".encode()]))
    assert [answer(share)["data"] for share in share_out(tensor, [1, 2])] == [["a"], ["", "grüße"]]


def test_a_float32_is_written_as_the_shortest_number_that_reads_back_as_it() -> None:
    values = np.array([0.1, 1 / 3, 16777217, 1e-45, 3.4028235e38, -0.0], dtype="<f4")
    tensor = from_numpy("y", "FP32", values.reshape(6, 1))
    texts = [
        json_codec.encode_response(InferResponse("m", "1", outputs=[share])) for share in share_out(tensor, [1] * 6)
    ]
    back = [struct.pack("<f", json.loads(text)["outputs"][0]["data"][0]) for text in texts]
    assert b"".join(back) == values.tobytes()
    assert b'"data":[0.1]' in texts[0]


def test_only_who_got_no_number_is_told_so() -> None:
    tensor = from_numpy("y", "FP32", np.array([[1.0], [np.nan], [2.0]], dtype="<f4"))
    good, bad, last = share_out(tensor, [1, 1, 1])
    assert answer(good)["data"] == [1.0]
    assert answer(last)["data"] == [2.0]
    with pytest.raises(OutputNotFinite):
        answer(bad)
