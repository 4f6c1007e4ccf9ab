"""Frames between a gateway (or controller) and a worker: `prefix | header | body`.

    prefix  16 bytes, little-endian: magic "SY", version, kind, header length (u32), body length (u64)
    header  msgpack of one of the structs below, as an array: strict types, no code, no pickle
    body    the raw tensors of DATA and RESULT, one after another, in the order of the header

Flow is by credit: the worker owns its slots and grants them; one DATA spends one credit, and the RESULT that answers it
usually carries the credit back (`grant`), so a lone gateway never waits for a round trip. A credit rests with who used
it last. A gateway with work and no credit says WANT, with the number of requests that wait (again when more wait, 0
when none does any more); the worker then grants in turn, and takes resting credits back with a GRANT of less than
nothing. So a client's credits are the sum of all grants less its DATA: below zero for a moment is possible and means
"send nothing"; DATA that crossed such a GRANT is answered all the same, and so is DATA that crossed a DRAIN.

The client speaks first. A worker answers each HELLO with its own and hangs up on who stays silent.
"""

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec
import numpy as np
from msgspec import Struct

from inference.errors import SwitchyardError
from inference.protocol.messages import Tensor

PREFIX = struct.Struct("<2sBBIQ")
MAGIC = b"SY"
VERSION = 2
MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024 * 1024
SCRATCH_BYTES = 64 * 1024  # of a reader; larger frames get memory of their own
JOIN_BYTES = 64 * 1024  # smaller bodies are copied behind their head: one write of a copy beats several


class BadFrame(SwitchyardError):
    """The peer speaks something else, or lies about lengths. The connection is closed; nothing of it is trusted."""

    code = "bad_frame"


class Kind(IntEnum):
    HELLO = 1  # both ways, first
    WANT = 2  # client → worker
    GRANT = 3  # worker → client
    DATA = 4  # client → worker: a batch
    RESULT = 5  # worker → client: its answers
    CANCEL = 6  # client → worker: clients of these items hung up
    DRAIN = 7  # worker → client: no more DATA; what I hold I finish
    HEARTBEAT = 8  # worker → controller: status.WorkerStatus as JSON in the body, sent from the work loop


class Role(IntEnum):
    GATEWAY = 1
    CONTROLLER = 2  # observes: gets heartbeats, never grants


class Header(Struct, array_like=True, gc=False):
    """Base of the headers: positional, so a batch of 64 costs few bytes and no key look-ups."""


class ClientHello(Header):
    role: int
    id: str
    digest: str  # of the version it expects; empty for a controller


class WorkerHello(Header):
    replica: str
    digest: str
    unit: str
    slots: int
    max_rows: int


class Want(Header):
    requests: int


class Grant(Header):
    credits: int  # below zero: resting credits taken back


class TensorHead(Header):
    name: str
    datatype: str
    shape: tuple[int, ...]
    size_bytes: int


class Item(Header):
    """One client's request inside a batch. `rows` is its share of axis 0; `deadline_ms` is time left, 0 for none."""

    rows: int
    deadline_ms: int
    tensors: list[TensorHead]


class Data(Header):
    """A batch. Where `joined` is not empty, the tensors of all items lie in it end to end and the items have none."""

    batch: int
    items: list[Item]
    joined: list[TensorHead] = []


class ItemResult(Header):
    """Outputs, or an error code (of `inference.errors`) and its message."""

    tensors: list[TensorHead]
    error: str = ""
    message: str = ""
    tokens: int = 0  # that a tokenizer made of the item


class Result(Header):
    """Answers in the order of the batch. `joined` as in `Data`; there may then be no items at all."""

    batch: int
    grant: int
    items: list[ItemResult]
    collate_ns: int = 0
    infer_ns: int = 0
    split_ns: int = 0
    joined: list[TensorHead] = []


class Cancel(Header):
    batch: int
    items: list[int]


class Drain(Header):
    reason: str = ""


class Heartbeat(Header):
    """Empty: the status lies in the body."""


HEADERS: dict[Kind, type[Header]] = {
    Kind.WANT: Want, Kind.GRANT: Grant, Kind.DATA: Data, Kind.RESULT: Result, Kind.CANCEL: Cancel, Kind.DRAIN: Drain,
    Kind.HEARTBEAT: Heartbeat,
}  # fmt: skip

encoder = msgspec.msgpack.Encoder()
decoders = {kind: msgspec.msgpack.Decoder(header) for kind, header in HEADERS.items()}
hello_decoders: dict[type[Header], msgspec.msgpack.Decoder] = {
    hello: msgspec.msgpack.Decoder(hello) for hello in (ClientHello, WorkerHello)
}


def pack(kind: Kind, header: Header, body: Iterable[bytes | memoryview] = ()) -> bytes:
    """One frame as one `bytes`."""
    return b"".join(pack_parts(kind, header, body))


def pack_parts(kind: Kind, header: Header, body: Iterable[bytes | memoryview] = ()) -> Sequence[bytes | memoryview]:
    """One frame as the parts to be written one after another: one while a copy costs less than a second part."""
    head, parts = encoder.encode(header), list(body)
    size = sum(map(len, parts))
    first = PREFIX.pack(MAGIC, VERSION, kind, len(head), size)
    if size < JOIN_BYTES:
        return (b"".join((first, head, *parts)),)
    return (first + head, *parts)


def head_of(tensor: Tensor) -> TensorHead:
    return TensorHead(tensor.name, tensor.datatype, tensor.shape, len(tensor.data))


def tensors_of(heads: Iterable[TensorHead], body: memoryview, offset: int = 0) -> tuple[list[Tensor], int]:
    """Views of the body, and the offset after the last. Raises BadFrame where a size runs past the end."""
    tensors = []
    for head in heads:
        end = offset + head.size_bytes
        if head.size_bytes < 0 or end > len(body):
            raise BadFrame(f"Tensor {head.name!r} claims {head.size_bytes} bytes beyond the frame.")
        tensors.append(Tensor(head.name, head.datatype, head.shape, body[offset:end]))
        offset = end
    return tensors, offset


def check_prefix(prefix: bytes | memoryview, start: int = 0) -> tuple[Kind, int, int]:
    """(kind, header bytes, body bytes) of a prefix; raises BadFrame before anything is allocated for it."""
    magic, version, kind, header_size, body_size = PREFIX.unpack_from(prefix, start)
    if magic != MAGIC or version != VERSION:
        raise BadFrame(f"Expected Switchyard frames of version {VERSION}.")
    if header_size > MAX_HEADER_BYTES or body_size > MAX_BODY_BYTES:
        raise BadFrame(f"A frame of {header_size} + {body_size} bytes is over the limit.")
    try:
        return Kind(kind), header_size, body_size
    except ValueError:
        raise BadFrame(f"Unknown frame kind {kind}.") from None


def decode_header(kind: Kind, raw: bytes | memoryview, hello: type[Header] = WorkerHello) -> Header:
    """`hello` says which side's HELLO is expected. Raises BadFrame."""
    decoder = hello_decoders[hello] if kind is Kind.HELLO else decoders[kind]
    try:
        return decoder.decode(raw)
    # msgspec lets text that is no UTF-8, and nesting beyond the stack, through as Python's own errors.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(f"The header of a {kind.name} frame is wrong: {error}.") from error


Frame = tuple[Kind, bytes, memoryview]  # kind, raw header, body


class FrameReader:
    """Frames out of memory that a socket fills: `space()` says where the next bytes go, `filled()` what is whole now.

    Small frames are copied out of a scratch, so the next read may go there. A large one gets memory of its own as soon
    as its prefix tells how much, and its bytes go from the socket to where they stay. A body is safe to keep.
    """

    def __init__(self, max_bytes: int = MAX_HEADER_BYTES + MAX_BODY_BYTES) -> None:
        self.max_bytes = max_bytes  # of one frame; a server keeps it small until the peer has introduced itself
        self.scratch = np.empty(SCRATCH_BYTES, np.uint8).data
        self.large: memoryview | None = None  # of a frame on its way that is larger than the scratch
        self.got = 0  # bytes in `large`, or where there is none in `scratch`

    @property
    def missing(self) -> int:
        """Bytes that a begun frame still lacks as far as is known, 0 between frames."""
        if self.large is not None:
            return len(self.large) - self.got
        return self.size_at(0, self.got) - self.got if self.got else 0

    def space(self) -> memoryview:
        """Where to read to: never empty."""
        if self.large is not None:
            return self.large[self.got :]
        return self.scratch[self.got :] if self.got else self.scratch

    def filled(self, count: int) -> list[Frame]:
        """The frames completed by `count` bytes in `space()`. Raises BadFrame: the stream is of no more use then."""
        self.got += count
        if self.large is not None:
            if self.got < len(self.large):
                return []
            frame, self.large, self.got = self.large, None, 0
            return [cut(frame)]
        frames: list[Frame] = []
        start, end = 0, self.got
        while end - start >= PREFIX.size:
            kind, header_size, body_size = check_prefix(self.scratch, start)
            body_start = PREFIX.size + header_size
            size = self.check_size(body_start + body_size)
            if start + size > end:
                break
            whole = bytes(self.scratch[start : start + size])
            frames.append((kind, whole[PREFIX.size : body_start], memoryview(whole)[body_start:]))
            start += size
        self.got = end - start
        if self.got:
            self.keep_rest(start, end)
        return frames

    def keep_rest(self, start: int, end: int) -> None:
        """Make room for the frame that begins at `start` of the scratch and is not whole at `end`."""
        size = self.size_at(start, end)
        if size > len(self.scratch):
            self.large = np.empty(size, np.uint8).data
            self.large[: self.got] = self.scratch[start:end]
        elif start:
            self.scratch[: self.got] = bytes(self.scratch[start:end])

    def size_at(self, start: int, end: int) -> int:
        """Size of the frame that starts there, or of its prefix while that is all we can ask for."""
        if end - start < PREFIX.size:
            return PREFIX.size
        _, header_size, body_size = check_prefix(self.scratch, start)
        return self.check_size(PREFIX.size + header_size + body_size)

    def check_size(self, size: int) -> int:
        if size > self.max_bytes:
            raise BadFrame(f"A frame of {size} bytes is over the limit of {self.max_bytes} here.")
        return size

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`, for who reads by other means."""
        frames, rest = [], memoryview(data)
        while rest:
            space = self.space()
            count = min(len(space), len(rest))
            space[:count] = rest[:count]
            frames += self.filled(count)
            rest = rest[count:]
        return frames


def cut(frame: memoryview) -> Frame:
    kind, header_size, _ = check_prefix(frame)
    body_start = PREFIX.size + header_size
    return kind, bytes(frame[PREFIX.size : body_start]), frame[body_start:]
