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
from collections.abc import Iterable
from enum import IntEnum

import msgspec
from msgspec import Struct

from inference.errors import SwitchyardError
from inference.protocol.messages import Tensor

PREFIX = struct.Struct("<2sBBIQ")
MAGIC = b"SY"
VERSION = 2
MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024 * 1024


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
    """One frame as one `bytes`: a single write beats the copies it saves until bodies reach megabytes."""
    head, parts = encoder.encode(header), list(body)
    size = sum(len(part) for part in parts)
    return b"".join((PREFIX.pack(MAGIC, VERSION, kind, len(head), size), head, *parts))


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


def check_prefix(prefix: bytes | memoryview) -> tuple[Kind, int, int]:
    """(kind, header bytes, body bytes) of a prefix; raises BadFrame before anything is allocated for it."""
    magic, version, kind, header_size, body_size = PREFIX.unpack_from(prefix)
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
    """Cuts a byte stream into frames, copying only what arrives in pieces.

    A body is a view of the fed `bytes`, or of memory that only this frame owns: safe to keep either way.
    """

    def __init__(self, max_bytes: int = MAX_HEADER_BYTES + MAX_BODY_BYTES) -> None:
        self.max_bytes = max_bytes  # of one frame; a server keeps it small until the peer has introduced itself
        self.held = bytearray()  # the start of a frame that is not whole yet
        self.need = PREFIX.size  # its size as far as known

    @property
    def missing(self) -> int:
        """Bytes that a begun frame still lacks, 0 between frames: how much to read next."""
        return self.need - len(self.held) if self.held else 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`. Raises BadFrame, after which the stream is of no more use."""
        frames, view, start = [], memoryview(data), 0
        while start < len(view):
            if not self.held:
                end = start + self.size_at(view[start:])
                if end <= len(view):
                    frames.append(cut(view[start:end]))
                    start = end
                    continue
            piece = view[start : start + max(self.need - len(self.held), 0)]
            self.held += piece
            start += len(piece)
            if len(self.held) == PREFIX.size:
                self.size_at(memoryview(self.held))
            if len(self.held) == self.need:
                frames.append(cut(memoryview(self.held)))
                self.held, self.need = bytearray(), PREFIX.size
        return frames

    def size_at(self, view: memoryview) -> int:
        """Size of the frame that starts here, or of its prefix while that is all we can ask for."""
        self.need = PREFIX.size
        if len(view) >= PREFIX.size:
            _, header_size, body_size = check_prefix(view)
            self.need += header_size + body_size
            if self.need > self.max_bytes:
                raise BadFrame(f"A frame of {self.need} bytes is over the limit of {self.max_bytes} here.")
        return self.need


def cut(frame: memoryview) -> Frame:
    kind, header_size, _ = check_prefix(frame)
    body_start = PREFIX.size + header_size
    return kind, bytes(frame[PREFIX.size : body_start]), frame[body_start:]
