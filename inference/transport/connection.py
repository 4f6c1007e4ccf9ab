"""One non-blocking connection, plain or TLS: bytes in to frames, frames out to bytes, every buffer bounded."""

import selectors
import socket
import ssl
import time
from collections import deque
from itertools import islice

from msgspec import Struct

from inference.errors import SwitchyardError
from inference.transport.credits import SETTLE_S
from inference.transport.frames import BadFrame, ClientHello, Frame, FrameReader

MAX_PARTS = 512  # of one system call; Linux takes 1024
STRANGER_FRAME_BYTES = 16 * 1024  # what a peer may send before it has introduced itself
NOTHING_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Hangup(SwitchyardError):
    """The peer closed, reset, or made no progress."""

    code = "hangup"


class Limits(Struct, frozen=True):
    introduction_s: float = 5.0  # from connecting to HELLO
    stall_s: float = 30.0  # without progress of a frame begun, or of bytes to be sent
    connections: int = 256  # of one server
    settle_s: float = SETTLE_S  # see credits
    poll_s: float = 0.0  # longest that sockets are looked at again and again, see policy.polling
    unsent_bytes: int = 256 * 1024 * 1024  # a peer that leaves more unread is read no further


class Connection:
    """`hello` is None until the peer has introduced itself."""

    def __init__(self, sock: socket.socket, limits: Limits, now_s: float) -> None:
        self.sock = sock
        self.limits = limits
        self.tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self.shaking = self.tls is not None
        self.hello: ClientHello | None = None
        self.reader = FrameReader(STRANGER_FRAME_BYTES)
        self.unsent: deque[memoryview] = deque()
        self.unsent_bytes = 0
        self.opened_s = self.read_s = self.sent_s = now_s
        self.wants_write = False
        self.events = selectors.EVENT_READ  # what the server's selector was asked to tell of

    def introduce(self, hello: ClientHello) -> None:
        self.hello = hello
        self.reader.max_bytes = FrameReader().max_bytes

    def read(self) -> list[Frame]:
        """The frames that came in. Raises Hangup or BadFrame."""
        frames: list[Frame] = []
        try:
            if self.tls is not None and self.shaking:
                self.tls.do_handshake()
                self.shaking = False
            while True:
                space = self.reader.space()
                count = self.sock.recv_into(space)
                if not count:
                    raise Hangup("The peer closed the connection.")
                frames += self.reader.filled(count)
                # TLS may hold decrypted bytes that no selector tells of. Else read on only to finish a large frame:
                # what is whole is handed over first, which is fair to the other connections.
                if not (self.tls.pending() if self.tls is not None else count == len(space) and not frames):
                    break
        except NOTHING_NOW as error:
            self.wants_write = self.wants_write or isinstance(error, ssl.SSLWantWriteError)
        except ssl.SSLError as error:
            raise BadFrame(f"TLS failed: {error.reason or error}.") from error
        except OSError as error:
            raise Hangup(f"The connection broke: {error.strerror or error}.") from error
        self.read_s = time.monotonic()
        return frames

    def write(self, *parts: bytes | memoryview) -> None:
        """Queue the parts of a frame and send what goes out at once; they must stay as they are. Raises Hangup."""
        if not self.unsent:
            self.sent_s = time.monotonic()
        self.unsent.extend(map(memoryview, parts))
        self.unsent_bytes += sum(map(len, parts))
        self.flush()

    def flush(self) -> None:
        try:
            while self.unsent and not self.shaking:
                if self.tls is not None or len(self.unsent) == 1:
                    sent = self.sock.send(self.unsent[0])
                else:
                    sent = self.sock.sendmsg(list(islice(self.unsent, MAX_PARTS)))
                self.sent_s = time.monotonic()
                self.drop_sent(sent)
        except NOTHING_NOW:
            pass
        except OSError as error:
            raise Hangup(f"The connection broke: {error.strerror or error}.") from error
        self.wants_write = bool(self.unsent) and not self.shaking

    def drop_sent(self, count: int) -> None:
        self.unsent_bytes -= count
        while self.unsent and count >= len(self.unsent[0]):
            count -= len(self.unsent.popleft())
        if count:
            self.unsent[0] = self.unsent[0][count:]

    @property
    def takes_more(self) -> bool:
        """False while the peer leaves too much unread: nothing more is read from it until it catches up."""
        return self.unsent_bytes < self.limits.unsent_bytes

    def check_time(self, now_s: float) -> None:
        """Raises Hangup for a peer that stays silent in the middle of something."""
        limits = self.limits
        if self.hello is None and now_s - self.opened_s > limits.introduction_s:
            raise Hangup(f"The peer did not introduce itself within {limits.introduction_s:g} s.")
        if self.reader.missing and now_s - self.read_s > limits.stall_s:
            raise Hangup(f"A frame stopped half-way for {limits.stall_s:g} s.")
        if self.unsent and now_s - self.sent_s > limits.stall_s:
            raise Hangup(f"The peer read nothing for {limits.stall_s:g} s.")

    def close(self) -> None:
        self.sock.close()
