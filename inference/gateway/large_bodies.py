"""A large body goes from the socket to where it stays, past the parser.

Only behind a head that is known and whole (see `known_heads`): then Content-Length alone says where the body ends, and
nothing in it is for the parser. The usual way, which has to look at each piece, copies every byte three times more.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from inference.gateway.exchange import Head, Request
from inference.gateway.reading import TooMany

if TYPE_CHECKING:
    from inference.gateway.http import Connection

BINARY = b"inference-header-content-length"
LARGE_BYTES = 64 * 1024  # below, most bodies come in one piece
SINK_BYTES = 64 * 1024


def takes_past(head: Head) -> bool:
    """Whether bodies behind this well-known head are worth it: JSON costs more to read than to copy."""
    return head.body_bytes >= LARGE_BYTES and BINARY in head.headers


class LargeBody(asyncio.BufferedProtocol):
    """In the connection's place until the body is whole. The request is the connection's, as are all other events."""

    def __init__(self, connection: "Connection", head: Head):
        self.connection, self.head = connection, head
        # Not zeroed: of what a client says it will send, only what it did send takes real memory.
        self.body = np.empty(head.body_bytes, np.uint8).data
        self.space = self.body  # what is still to be filled of it
        self.sink = False

    def begin(self, first: memoryview) -> None:
        """Take over from the connection, with the bytes of the body that have come already."""
        reader = self.connection.reader
        reader.head, reader.head_done = self.head, True
        self.connection.read_by(self)
        self.body[: len(first)] = first
        self.buffer_updated(len(first))

    def get_buffer(self, sizehint: int) -> memoryview:
        if self.connection.lingering_since_s and not self.sink:
            self.sink, self.space = True, memoryview(bytearray(SINK_BYTES))
        return self.space

    def buffer_updated(self, nbytes: int) -> None:
        connection = self.connection
        if connection.lingering_since_s:  # an error was answered: what still comes is dropped
            return
        reader, server = connection.reader, connection.server
        self.space = self.space[nbytes:]
        reader.body_bytes += nbytes
        server.buffered_bytes += nbytes
        if server.buffered_bytes > server.most_buffered_bytes:
            connection.refuse(TooMany())
        elif not self.space:
            reader.head, reader.body_bytes = None, 0  # counted until it is answered
            connection.read_by(connection)
            connection.take(Request(self.head, self.body, monotonic()))

    def connection_lost(self, error: Exception | None) -> None:
        self.connection.connection_lost(error)

    def eof_received(self) -> bool:
        return self.connection.eof_received()

    def pause_writing(self) -> None:
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        self.connection.resume_writing()
