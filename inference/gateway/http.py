"""HTTP/1.1 on asyncio.Protocol and httptools: limits, timeouts, keep-alive, pipelining. Nothing of inference in here.

One request of a connection is answered at a time, in the order they came; what a client pipelines waits parsed, and the
socket is not read on while too much waits. All timeouts are looked after by one sweep over the connections: a timer
for each request would cost more than the rest of this file. An error closes the connection after its answer, because
what follows on it cannot be trusted; the rest of the input is read and dropped for a moment, so that the client
gets the answer instead of a reset.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import httptools

from inference.config import Config
from inference.errors import BadInput, Busy, SwitchyardError
from inference.gateway.compression import Inflater, open_inflater
from inference.gateway.exchange import Request, Response, Running
from inference.gateway.heads import (
    CONTINUE,
    check_body_size,
    check_head,
    check_head_size,
    expects_continue,
    render_head,
)  # fmt: skip

if TYPE_CHECKING:
    from inference.gateway.server import HttpServer

MAX_PIPELINED = 16
LINGER_S = 2.0
JOIN_BYTES = 65_536  # below, one write of a copy beats two writes
BODIES_IN_FLIGHT = 16  # times the largest body: memory that all bodies not answered yet may take together


class Connection(asyncio.Protocol):
    def __init__(self, server: "HttpServer"):
        self.server = server
        self.application = server.application
        self.parser = httptools.HttpRequestParser(self)
        self.transport: Any = None
        self.pending: deque[Request | Response] = deque()
        self.active: Request | None = None
        self.running: Running | None = None
        self.answering = False  # answer_next is on the stack: an answer given at once must not enter it again
        self.reading: Request | None = None  # the request whose bytes are coming in
        self.head_done = False
        self.head_bytes = 0  # of what the parser has named
        self.fed_bytes = 0  # to the parser, since it began a message, ended a head or named a part of a body
        self.body_parts: list[bytes] = []
        self.body_bytes = 0  # inflated
        self.inflater: Inflater | None = None  # of a body that comes compressed
        self.since_s = monotonic()  # when the phase of reading began
        self.paused_since_s = 0.0  # the client does not read its answers; 0: it does
        self.reading_paused = False
        self.lingering_since_s = 0.0  # an error was answered; input is dropped

    # The connection

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if len(self.server.connections) >= self.server.config.max_connections or self.server.draining:
            self.server.turned_away += 1
            transport.abort()
            return
        self.server.accepted += 1
        self.server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.server.connections.discard(self)
        self.drop_body()
        self.drop_pending()
        if self.active is not None:
            self.release(self.active)
            self.active = None
        if self.running is not None:
            self.running.cancel()
            self.running = None

    def eof_received(self) -> bool:
        """The end of input is a hang-up: a client that is gone and one that closed its half look the same."""
        return False

    def pause_writing(self) -> None:
        self.paused_since_s = monotonic()

    def resume_writing(self) -> None:
        self.paused_since_s = 0.0
        self.answer_next()

    def close_if_idle(self) -> None:
        if self.active is None and not self.pending and self.reading is None:
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self.lingering_since_s:
            return
        if self.reading is None:
            self.since_s = monotonic()
        self.fed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We stay with HTTP/1.1: the request is answered as it is, what follows would be another protocol.
            self.stop_reading_after_last()
        except httptools.HttpParserInvalidURLError:
            self.refuse(BadInput("The request target is not a valid URL."))
        except httptools.HttpParserError as error:
            self.refuse(BadInput(f"This is not HTTP/1.1 as it should be: {error}."))
        else:
            if self.reading is not None:
                # A name or value that has not ended, of the head or of a trailer, is known to the parser alone: count
                # all that came since the message began, or since the last of its body.
                self.guard(check_head_size, self.fed_bytes)
        if len(self.pending) >= MAX_PIPELINED and not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()

    def on_message_begin(self) -> None:
        self.reading = Request(b"")
        self.head_done = False
        self.head_bytes = self.fed_bytes = 0

    def on_url(self, url: bytes) -> None:
        if self.reading is not None:
            self.reading.url += url
            self.head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.reading is not None and not self.head_done:  # trailers of a chunked body are not headers
            self.reading.add_header(name.lower(), value)
            self.head_bytes += len(name) + len(value) + 4

    def on_headers_complete(self) -> None:
        request = self.reading
        if request is None or self.lingering_since_s:
            return
        self.head_done, self.fed_bytes = True, 0
        request.method = self.parser.get_method()
        request.http_1_0 = self.parser.get_http_version() == "1.0"
        try:
            check_head(request, self.head_bytes, self.server.config)
            coding = request.headers.get(b"content-encoding")
            self.inflater = None if coding is None else open_inflater(coding)
            self.application.admit(request)
        except SwitchyardError as error:
            self.refuse(error)
            return
        self.since_s = monotonic()
        if expects_continue(request) and self.active is None and not self.pending:
            self.transport.write(CONTINUE)

    def on_body(self, part: bytes) -> None:
        if self.reading is None or self.lingering_since_s:
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
        self.body_parts.append(part)
        self.guard(check_body_size, self.body_bytes)
        if self.server.buffered_bytes > BODIES_IN_FLIGHT * self.server.config.max_body_bytes:
            self.refuse(Busy("Too many large bodies are coming in at once; try again soon."))

    def on_message_complete(self) -> None:
        request = self.reading
        if request is None or self.lingering_since_s:
            return
        if self.inflater is not None and self.body_parts and not self.inflater.done:
            self.refuse(BadInput("The compressed body ends before its stream does."))
            return
        parts = self.body_parts
        request.body = parts[0] if len(parts) == 1 else b"".join(parts)
        self.body_parts, self.body_bytes = [], 0  # counted until it is answered
        request.keep_alive = self.parser.should_keep_alive()
        request.arrived_s = monotonic()
        self.reading = None
        self.since_s = request.arrived_s
        self.pending.append(request)
        if self.active is None:
            self.answer_next()

    def drop_body(self) -> None:
        self.server.buffered_bytes -= self.body_bytes
        self.body_parts, self.body_bytes = [], 0

    def drop_pending(self) -> None:
        for request in self.pending:
            if isinstance(request, Request):
                self.release(request)
        self.pending.clear()

    def release(self, request: Request) -> None:
        self.server.buffered_bytes -= len(request.body)

    def guard(self, check: Callable[[int, Config], None], size_bytes: int) -> None:
        try:
            check(size_bytes, self.server.config)
        except SwitchyardError as error:
            self.refuse(error)

    def refuse(self, error: SwitchyardError) -> None:
        """Answer with an error after what came before it, and take nothing more from this connection."""
        if self.lingering_since_s:
            return
        self.lingering_since_s = monotonic()
        self.drop_body()
        request, self.reading = self.reading, None
        self.pending.append(self.application.refusal(error, request))
        if self.active is None:
            self.answer_next()

    def stop_reading_after_last(self) -> None:
        self.lingering_since_s = monotonic()
        last = self.pending[-1] if self.pending else self.active
        if isinstance(last, Request):
            last.keep_alive = False
        elif last is None:
            self.transport.close()

    # Answering

    def answer_next(self) -> None:
        self.answering = True
        while self.pending and self.active is None and not self.paused_since_s:
            request = self.pending.popleft()
            if isinstance(request, Response):
                self.write(request, None, keep_alive=False)
                break
            self.active = request
            running = self.application.handle(request, self.respond)
            if self.active is request:
                self.running = running
        self.answering = False
        if self.reading_paused and len(self.pending) < MAX_PIPELINED:
            self.reading_paused = False
            self.transport.resume_reading()

    def respond(self, response: Response) -> None:
        """The answer to the active request."""
        request = self.active
        if request is None:  # the client hung up meanwhile
            return
        self.running = None
        self.since_s = monotonic()
        last_of_drain = self.server.draining and not self.pending
        self.write(response, request, request.keep_alive and not last_of_drain)
        self.release(request)
        self.active = None
        if self.pending and not self.answering:
            self.answer_next()

    def write(self, response: Response, request: Request | None, keep_alive: bool) -> None:
        transport = self.transport
        if transport.is_closing():
            return
        body = response.body
        http_1_0 = request is not None and request.http_1_0
        head = render_head(response, self.server.date, keep_alive, http_1_0)
        if request is not None and request.method == b"HEAD":
            transport.write(head)
        elif len(body) < JOIN_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        if not keep_alive:
            self.end_after_answer()

    def end_after_answer(self) -> None:
        """Close; after an error first let the client read the answer while it may still be sending."""
        self.drop_pending()
        if self.lingering_since_s and self.transport.can_write_eof():
            self.lingering_since_s = monotonic()
            self.transport.write_eof()
        else:
            self.transport.close()
