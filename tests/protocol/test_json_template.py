"""A body that differs from an earlier one in its numbers alone is read as it would be whole, or not at all."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.errors import SwitchyardError
from inference.protocol import json_codec
from inference.protocol.joined import share_out
from inference.protocol.json_template import MOST_BYTES, Template, Unfit, around_numbers, learn, numbers_start
from inference.protocol.messages import InferRequest, InferResponse, Tensor

MODEL, VERSION = "model", "2"


def body_of(data: Any, datatype: str = "FP32", shape: tuple[int, ...] = (1, 4), **more: Any) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}], **more}).encode()


def read_whole(body: bytes) -> InferRequest:
    return json_codec.decode_request(MODEL, VERSION, body)


def learn_from(body: bytes) -> tuple[Template, int]:
    start = numbers_start(body)
    return learn(body, start, read_whole(body)), start


def read_short(template: Template, start: int, body: bytes) -> InferRequest | None:
    tensor = template.read(body, start)
    return None if tensor is None else template.request(tensor)


@pytest.mark.parametrize("more", [{}, {"id": "a [1] ]}"}, {"parameters": {"priority": 1, "timeout": 5000, "x": "y"}}])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_other_numbers_are_read_as_if_all_of_the_body_were(more: dict[str, Any], separators: tuple[str, str]) -> None:
    def body(*numbers: float) -> bytes:
        inputs = [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": numbers}]
        return json.dumps({**more, "inputs": inputs}, separators=separators).encode()

    template, start = learn_from(body(1, 2, 3, 4))
    for numbers in [(0.5, -2, 3e-7, 1e20), (0, 0, 0, 0)]:
        assert read_short(template, start, body(*numbers)) == read_whole(body(*numbers))


@pytest.mark.parametrize(
    "datatype, numbers",
    [("UINT8", [0, 255]), ("INT64", [-(2**63), 2**63 - 1]), ("FP16", [0.5, 65504]), ("FP64", [1e308, 5e-324])],
)
def test_every_kind_of_number_is(datatype: str, numbers: list[float]) -> None:
    template, start = learn_from(body_of([1, 2], datatype, (2, 1)))
    body = body_of(numbers, datatype, (2, 1))
    assert read_short(template, start, body) == read_whole(body)


def test_one_row_may_be_nested_and_an_id_may_come_last() -> None:
    template, start = learn_from(body_of([[1, 2, 3, 4]], id="7"))
    body = body_of([[9, 8, 7, 6]], id="7")
    assert read_short(template, start, body) == read_whole(body)
    assert read_short(template, start, body_of([[9, 8, 7, 6]], id="8")) is None


@pytest.mark.parametrize(
    "body",
    [
        body_of(["a"], "BYTES", (1,)),
        body_of([True], "BOOL", (1,)),
        body_of([1.5], "BF16", (1,)),
        body_of([[1, 2], [3, 4]], shape=(2, 2)),
        body_of([1, 2, 3, 4], id="[1, 2, 3, 4]"),  # what looks like the numbers is not
        body_of([1, 2, 3, 4], outputs=[{"name": "y"}]),
        body_of([1, 2, 3, 4], parameters={"binary_data_output": True}),
        b'{"inputs": [{"name": "x", "datatype": "FP32", "data": [1, 2, 3, 4], "shape": [1, 4]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "data": [7, 7], "shape": [1, 2]}], "id": "[7, 7]"}',
    ],
)
def test_what_is_more_than_one_tensor_of_numbers_has_no_template(body: bytes) -> None:
    with pytest.raises(Unfit):
        learn_from(body)


def test_nor_two_tensors() -> None:
    one = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    with pytest.raises(Unfit):
        learn_from(json.dumps({"inputs": [one, {**one, "name": "z"}]}).encode())


def test_large_bodies_and_long_texts_are_not_looked_at() -> None:
    assert numbers_start(body_of([0.25] * MOST_BYTES, shape=(MOST_BYTES,))) == 0
    assert numbers_start(body_of([1], shape=(1,)).replace(b'"x"', b'"%b"' % (b"x" * 2000))) == 0
    assert numbers_start(b"no list") == 0


anything = st.one_of(
    st.lists(st.one_of(st.integers(), st.floats(width=32), st.text(max_size=3)), max_size=6).map(json.dumps),
    st.text('[]{}0123456789.,eE+- \n"x:nulNaI', max_size=24),
    st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4).map(json.dumps),
).map(str.encode)


@given(anything)
@example(b'[1,2,3,4],"data":[5,6,7,8]')
@example(b'[1,2,3,4],"name":"other"')
@example(b"[1,2,3,1e39]")
@example(b"[1,2,3,4] ")
@example(b" [1, 2, 3, 4]")
@example(b"[1,2,3,NaN]")
def test_whatever_stands_where_the_numbers_were_is_read_as_the_codec_reads_it_or_left_to_it(hole: bytes) -> None:
    sample = body_of([1, 2, 3, 4], id="7")
    template, start = learn_from(sample)
    body = sample[:start] + hole + template.suffix
    short = read_short(template, start, body)
    if short is None:
        return
    assert short == read_whole(body)


@given(anything)
def test_what_the_codec_refuses_is_never_taken(hole: bytes) -> None:
    sample = body_of([1, 2, 3, 4])
    template, start = learn_from(sample)
    body = sample[:start] + hole + template.suffix
    try:
        read_whole(body)
    except SwitchyardError:
        assert template.read(body, start) is None


def test_an_answer_is_its_text_around_its_numbers() -> None:
    odd = 'odd "data":[] name'
    tensor = Tensor(odd, "FP32", (3, 2), memoryview(bytes(24)))
    for [share] in zip(share_out(tensor, [1, 2]), strict=True):
        response = InferResponse(odd, VERSION, odd, [share])
        before, after = around_numbers(response)
        text = share.joined.text(share.start, share.shape[0])  # type: ignore[attr-defined]
        assert before + text + after == json_codec.encode_response(response)
