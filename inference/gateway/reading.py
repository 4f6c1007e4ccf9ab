"""Bytes of one connection to requests: the parser, and what a client may make us hold until a request is whole."""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

import httptools

from inference.config import Config
from inference.errors import BadInput, Busy, SwitchyardError
from inference.gateway.compression import Inflater, open_inflater
from inference.gateway.exchange import Head, Request
from inference.gateway.heads import (
    MAX_HEADER_LINES,
    check_body_size,
    check_head,
    check_head_size,
    expects_continue,
    head_too_large,
)
from inference.gateway.known_heads import END

if TYPE_CHECKING:
    from inference.gateway.http import Connection

PIECE_BYTES = 2_048  # read at a time, of many small requests or chunks
PACKED_PIECE_BYTES = 512  # of a compressed body: half a megabyte of a bomb
SMALL_PART_BYTES = 512  # of a body: a chunk of one byte must not cost fifty


class TooMany(Busy):
    def __init__(self) -> None:
        super().__init__("Too many large bodies are coming in at once; try again soon.")


class Reader:
    """Gives the connection each request when it is whole, or the error for which it reads no more."""

    def __init__(self, connection: "Connection"):
        self.connection = connection
        self.server = connection.server
        self.parser = httptools.HttpRequestParser(self)
        self.head: Head | None = None  # of the request whose bytes are coming in
        self.head_done = False
        self.head_bytes = 0  # of what the parser has named
        self.header_lines = 0
        self.raw = b""  # all bytes of the head, where they came in one piece that began with it
        self.fed_bytes = 0  # to the parser, since it began a message, ended a head or named a part of a body
        self.body_parts: list[bytes | bytearray] = []  # the first is bytes
        self.body_bytes = 0  # inflated
        self.inflater: Inflater | None = None  # of a body that comes compressed

    @property
    def in_body(self) -> bool:
        return self.head is not None and self.head_done

    def piece_end(self, data: bytes, start: int) -> int:
        """How far to read `data` from `start` in one go: a head, its body as far as it is here, or a little."""
        if self.head is None or not self.head_done:
            end = data.find(END, start, start + PIECE_BYTES)
            return start + PIECE_BYTES if end < 0 else end + len(END)
        if self.inflater is not None:
            return start + PACKED_PIECE_BYTES
        missing = int(self.head.headers.get(b"content-length", b"0")) - self.body_bytes
        return start + (missing if missing > 0 else PIECE_BYTES)

    def feed(self, data: bytes) -> None:
        if self.head is None:
            end = data.find(END)
            self.raw = data[: end + len(END)] if end >= 0 else b""
        self.fed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We stay with HTTP/1.1: the request is answered as it is, what follows would be another protocol.
            self.connection.stop_reading_after_last()
        except httptools.HttpParserInvalidURLError:
            self.refuse(BadInput("The request target is not a valid URL."))
        except httptools.HttpParserError as error:
            self.refuse(BadInput(f"This is not HTTP/1.1 as it should be: {error}."))
        else:
            if self.head is not None:
                # A name or value that has not ended, of the head or of a trailer, is known to the parser alone: count
                # all that came since the message began, or since the last of its body.
                self.guard(check_head_size, self.fed_bytes)

    # What the parser tells

    def on_message_begin(self) -> None:
        self.head = Head()
        self.head_done = False
        self.head_bytes = self.header_lines = self.fed_bytes = 0

    def on_url(self, url: bytes) -> None:
        if self.head is not None:
            self.head.url += url
            self.head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head is not None and not self.head_done:  # trailers of a chunked body are not headers
            self.head.add_header(name.lower(), value)
            self.header_lines += 1
            self.head_bytes += len(name) + len(value) + 4
            if self.head_bytes > self.server.config.max_header_bytes or self.header_lines > MAX_HEADER_LINES:
                self.refuse(head_too_large(self.server.config))  # not when all of them have come

    def on_headers_complete(self) -> None:
        head = self.head
        if head is None or self.connection.lingering_since_s:
            return
        self.head_done, self.fed_bytes = True, 0
        head.method = self.parser.get_method()
        head.http_1_0 = self.parser.get_http_version() == "1.0"
        try:
            check_head(head, self.head_bytes, self.server.config)
            coding = head.headers.get(b"content-encoding")
            self.inflater = None if coding is None else open_inflater(coding)
            self.server.application.admit(head)
        except SwitchyardError as error:
            self.refuse(error)
            return
        self.connection.since_s = monotonic()
        if expects_continue(head):
            self.connection.invite()

    def on_body(self, part: bytes) -> None:
        if self.head is None or self.connection.lingering_since_s:
            return
        self.fed_bytes = 0
        if self.inflater is not None:
            try:
                part = self.inflater.feed(part, self.server.config.max_body_bytes + 1 - self.body_bytes)
            except SwitchyardError as error:
                self.refuse(error)
                return
        self.body_bytes += len(part)
        self.server.buffered_bytes += len(part)
        self.keep(part)
        self.guard(check_body_size, self.body_bytes)
        if self.server.buffered_bytes > self.server.most_buffered_bytes:
            self.refuse(TooMany())

    def keep(self, part: bytes) -> None:
        parts = self.body_parts
        if not parts or len(part) > SMALL_PART_BYTES:
            parts.append(part)
        elif isinstance(last := parts[-1], bytearray):
            last += part
        else:
            parts.append(bytearray(part))

    def on_message_complete(self) -> None:
        head = self.head
        if head is None or self.connection.lingering_since_s:
            return
        if self.inflater is not None and self.body_parts and not self.inflater.done:
            self.refuse(BadInput("The compressed body ends before its stream does."))
            return
        body = self.body_parts[0] if len(self.body_parts) == 1 else b"".join(self.body_parts)
        self.body_parts, self.body_bytes, self.inflater = [], 0, None  # counted until it is answered
        head.keep_alive = self.parser.should_keep_alive()
        self.head = None
        if self.raw:
            self.server.known_heads.learn(self.raw, head, self.header_lines)
            self.raw = b""  # what follows in the same piece is another head
        self.connection.take(Request(head, body, monotonic()))

    # Limits

    def guard(self, check: Callable[[int, Config], None], size_bytes: int) -> None:
        try:
            check(size_bytes, self.server.config)
        except SwitchyardError as error:
            self.refuse(error)

    def refuse(self, error: SwitchyardError) -> None:
        self.connection.refuse(error)

    def let_go(self) -> None:
        """Of the parser and the connection, which hold us: a ring would keep all that came until the collector runs."""
        self.drop_body()
        self.parser = self.connection = None  # type: ignore[assignment]

    def drop_body(self) -> None:
        self.server.buffered_bytes -= self.body_bytes
        self.body_parts, self.body_bytes, self.inflater = [], 0, None  # which may hold megabytes
