"""Frames survive any cutting of the stream, and a liar is found out before memory is spent on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.protocol.messages import Tensor
from inference.transport.frames import (
    MAGIC,
    MAX_BODY_BYTES,
    PREFIX,
    VERSION,
    BadFrame,
    ClientHello,
    Data,
    Drain,
    FrameReader,
    Item,
    Kind,
    Result,
    Role,
    TensorHead,
    Want,
    decode_header,
    head_of,
    pack,
    tensors_of,
)

BODIES = st.lists(st.binary(max_size=200), min_size=1, max_size=5)


@given(BODIES, st.integers(1, 400))
def test_frames_come_out_whole_however_the_stream_is_cut(bodies: list[bytes], piece: int) -> None:
    stream = b"".join(pack(Kind.HEARTBEAT, Drain(str(n)), [body]) for n, body in enumerate(bodies))
    reader, frames = FrameReader(), []
    for start in range(0, len(stream), piece):
        frames += reader.feed(stream[start : start + piece])
    assert [bytes(body) for _, _, body in frames] == bodies
    assert reader.missing == 0


def test_a_body_stays_right_while_the_reader_reads_on() -> None:
    reader = FrameReader()
    first = pack(Kind.HEARTBEAT, Drain(), [b"a" * 100])
    reader.feed(first[:50])
    [(_, _, body)] = reader.feed(first[50:] + first[:50])
    reader.feed(first[50:])
    assert bytes(body) == b"a" * 100


def test_the_reader_says_how_much_a_begun_frame_lacks() -> None:
    reader, frame = FrameReader(), pack(Kind.HEARTBEAT, Drain(), [bytes(1000)])
    reader.feed(frame[:300])
    assert reader.missing == len(frame) - 300


@pytest.mark.parametrize(
    "prefix, why",
    [
        (PREFIX.pack(b"GE", VERSION, Kind.DATA, 1, 0), "Switchyard frames"),
        (PREFIX.pack(MAGIC, VERSION + 1, Kind.DATA, 1, 0), "Switchyard frames"),
        (PREFIX.pack(MAGIC, VERSION, 99, 1, 0), "Unknown frame kind 99"),
        (PREFIX.pack(MAGIC, VERSION, Kind.DATA, 2**31, 0), "over the limit"),
        (PREFIX.pack(MAGIC, VERSION, Kind.DATA, 1, MAX_BODY_BYTES + 1), "over the limit"),
    ],
)
def test_a_bad_prefix_is_refused_from_its_16_bytes_alone(prefix: bytes, why: str) -> None:
    with pytest.raises(BadFrame, match=why):
        FrameReader().feed(prefix)


def test_a_reader_can_be_held_to_small_frames() -> None:
    with pytest.raises(BadFrame, match="limit of 64"):
        FrameReader(max_bytes=64).feed(pack(Kind.HEARTBEAT, Drain(), [bytes(100)])[:20])


@pytest.mark.parametrize(
    "kind, raw",
    [
        (Kind.DATA, b"\xc1"),
        (Kind.DATA, b"\x92\x01"),
        (Kind.WANT, b"\x91\xa3abc"),
        (Kind.HELLO, b""),
        (Kind.DRAIN, b"\x91\xa2\xff\xfe"),
        (Kind.DATA, b"\x91" * 100_000),
    ],
    ids=["no-msgpack", "too-short", "wrong-type", "empty", "no-utf8", "too-deep"],
)
def test_a_header_of_another_form_is_refused(kind: Kind, raw: bytes) -> None:
    with pytest.raises(BadFrame, match=kind.name):
        decode_header(kind, raw)


def test_headers_travel_as_they_are() -> None:
    item = Item(2, 50, [TensorHead("x", "FP32", (2, 4), 32)])
    for kind, header in [(Kind.DATA, Data(7, [item])), (Kind.RESULT, Result(7, -1, [])), (Kind.WANT, Want(3))]:
        [(got, raw, _)] = FrameReader().feed(pack(kind, header))
        assert (got, decode_header(got, raw)) == (kind, header)
    hello = ClientHello(Role.GATEWAY, "g", "d")
    [(kind, raw, _)] = FrameReader().feed(pack(Kind.HELLO, hello))
    assert decode_header(kind, raw, ClientHello) == hello


def test_tensors_are_views_of_the_body_in_header_order() -> None:
    sent = [Tensor("a", "UINT8", (3,), b"abc"), Tensor("b", "UINT8", (2,), b"de")]
    got, end = tensors_of([head_of(tensor) for tensor in sent], memoryview(b"abcde"))
    assert [(tensor.name, bytes(tensor.data)) for tensor in got] == [("a", b"abc"), ("b", b"de")]
    assert end == 5


@pytest.mark.parametrize("size", [6, -1, 2**62])
def test_a_tensor_that_claims_bytes_beyond_its_frame_is_refused(size: int) -> None:
    with pytest.raises(BadFrame, match="claims"):
        tensors_of([TensorHead("a", "UINT8", (5,), size)], memoryview(b"abcde"))
