"""The other end of a worker's socket, one blocking call at a time: what a gateway or a controller sends and sees."""

import socket
import ssl
import struct
from collections.abc import Sequence

import msgspec
import numpy as np

from inference.protocol.messages import Tensor
from inference.protocol.tensors import from_numpy, to_numpy
from inference.status import WorkerStatus
from inference.transport.frames import (
    Cancel,
    ClientHello,
    Data,
    Drain,
    FrameReader,
    Grant,
    Header,
    Item,
    Kind,
    Result,
    Role,
    Want,
    WorkerHello,
    decode_header,
    head_of,
    pack,
    tensors_of,
)


class Peer:
    """Counts its credits as a gateway does: the sum of all grants less the DATA sent."""

    def __init__(self, address: str, tls: ssl.SSLContext | None = None, timeout_s: float = 10.0) -> None:
        kind, _, where = address.partition(":")
        if kind == "unix":
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout_s)
            self.sock.connect(where)
        else:
            host, _, port = where.rpartition(":")
            self.sock = socket.create_connection((host, int(port)), timeout=timeout_s)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock)
        self.reader = FrameReader()
        self.frames: list[tuple[Kind, Header, memoryview]] = []
        self.credits = 0
        self.drained = ""
        self.numbers = 0

    def hello(self, digest: str = "", role: Role = Role.GATEWAY, id: str = "peer") -> WorkerHello:
        self.send(Kind.HELLO, ClientHello(role, id, digest))
        return self.expect(Kind.HELLO)[0]

    def send(self, kind: Kind, header: Header, body: Sequence[bytes | memoryview] = ()) -> None:
        self.sock.sendall(pack(kind, header, body))

    def next(self) -> tuple[Kind, Header, memoryview]:
        """The next frame. Raises EOFError when the worker hangs up, TimeoutError when nothing comes."""
        while not self.frames:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            for kind, raw, body in self.reader.feed(data):
                header = decode_header(kind, raw, WorkerHello)
                if isinstance(header, Grant):
                    self.credits += header.credits
                elif isinstance(header, Result):
                    self.credits += header.grant
                elif isinstance(header, Drain):
                    self.drained = header.reason
                self.frames.append((kind, header, body))
        return self.frames.pop(0)

    def expect(self, wanted: Kind) -> tuple[Header, memoryview]:
        """The next frame of that kind; others before it are counted and passed over."""
        while True:
            kind, header, body = self.next()
            if kind is wanted:
                return header, body

    def wait_for_credit(self) -> None:
        while self.credits < 1:
            self.next()

    def want(self, requests: int) -> None:
        self.send(Kind.WANT, Want(requests))

    def cancel(self, batch: int, items: list[int]) -> None:
        self.send(Kind.CANCEL, Cancel(batch, items))

    def send_batch(self, *items: list[Tensor], deadline_ms: int = 0) -> int:
        """One DATA frame with these items, spending a credit; returns its number."""
        self.numbers += 1
        self.credits -= 1
        heads = [Item(item[0].shape[0] if item else 0, deadline_ms, [head_of(t) for t in item]) for item in items]
        self.send(Kind.DATA, Data(self.numbers, heads), [tensor.data for item in items for tensor in item])
        return self.numbers

    def result(self) -> list[dict[str, np.ndarray] | str]:
        """The next RESULT: for each item its outputs, or its error code."""
        header, body = self.expect(Kind.RESULT)
        answers, offset = [], 0
        for item in header.items:
            tensors, offset = tensors_of(item.tensors, body, offset)
            answers.append(item.error or {tensor.name: to_numpy(tensor) for tensor in tensors})
        return answers

    def ask(self, *items: list[Tensor], deadline_ms: int = 0) -> list[dict[str, np.ndarray] | str]:
        self.wait_for_credit()
        self.send_batch(*items, deadline_ms=deadline_ms)
        return self.result()

    def heartbeat(self) -> WorkerStatus:
        return msgspec.json.decode(self.expect(Kind.HEARTBEAT)[1], type=WorkerStatus)

    def is_hung_up(self) -> bool:
        """Whether the worker closes; frames that come before are read."""
        try:
            while True:
                self.next()
        except (EOFError, ConnectionResetError):
            return True
        except TimeoutError:
            return False

    def reset(self) -> None:
        """Go without a word, as a killed process on another machine does."""
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def floats(*rows: Sequence[float], name: str = "x") -> list[Tensor]:
    return [from_numpy(name, "FP32", np.array(rows, dtype=np.float32))]
