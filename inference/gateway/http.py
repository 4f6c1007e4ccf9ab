"""HTTP/1.1 on asyncio.Protocol: one connection, keep-alive, pipelining, the ordered end. Nothing of inference in here.

One request of a connection is answered at a time, in the order they came; what a client pipelines waits parsed, and the
socket is not read on while too much waits. All timeouts are looked after by one sweep over the connections: a timer
for each request would cost more than the rest of this file. An error closes the connection after its answer, because
what follows on it cannot be trusted; the rest of the input is read and dropped for a moment, so that the client
gets the answer instead of a reset.
"""

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from inference.errors import SwitchyardError
from inference.gateway.exchange import Head, Request, Response, Running
from inference.gateway.heads import CONTINUE, render_head
from inference.gateway.known_heads import END
from inference.gateway.large_bodies import LargeBody, takes_past
from inference.gateway.reading import PIECE_BYTES, Reader

if TYPE_CHECKING:
    from inference.gateway.server import HttpServer

MAX_PIPELINED = 16
LINGER_S = 2.0
JOIN_BYTES = 65_536  # below, one write of a copy beats two writes


class Connection(asyncio.Protocol):
    def __init__(self, server: "HttpServer"):
        self.server = server
        self.application = server.application
        self.known_heads = server.known_heads.heads
        self.reader = Reader(self)
        self.transport: Any = None
        self.pending: deque[Request | Response] = deque()
        self.active: Request | None = None
        self.running: Running | None = None
        self.answering = False  # answer_next is on the stack: an answer given at once must not enter it again
        self.since_s = monotonic()  # when the phase of reading began
        self.paused_since_s = 0.0  # the client does not read its answers; 0: it does
        self.reading_paused = False
        self.unread = b""  # what came in one go, and from `unread_at` waits for its turn; meanwhile nothing is read
        self.unread_at = 0
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
        self.reader.let_go()
        self.unread = b""
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
        if self.active is None and not self.pending and self.reader.head is None and not self.unread:
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self.lingering_since_s:
            return
        reader = self.reader
        if reader.head is None:
            self.since_s = monotonic()
            end = data.find(END) + len(END)
            head = self.known_heads.get(data[:end])
            if head is not None and self.take_known(head, data, end):
                return
        if len(data) <= PIECE_BYTES and reader.inflater is None:
            reader.feed(data)
            return
        self.unread = data
        if self.read_piece() and reader.in_body:  # a head; then its body, too, or as much as came
            self.read_piece()
        if self.unread:
            self.transport.pause_reading()
            self.wait_for_turn()

    def wait_for_turn(self) -> None:
        if self.unread and not self.reading_paused:
            self.server.turns.join(self)

    def take_turn(self) -> bool:
        more = bool(self.unread) and not self.reading_paused and self.read_piece()
        if not self.unread and not self.reading_paused and not self.transport.is_closing():
            self.transport.resume_reading()
        return more

    def read_piece(self) -> bool:
        """Of what came in one go; False where no more of it can be read now."""
        data, at = self.unread, self.unread_at
        self.unread_at = end = self.reader.piece_end(data, at)
        self.reader.feed(data[at:end])
        if end < len(data) and not self.lingering_since_s:
            return not self.reading_paused
        self.unread, self.unread_at = b"", 0
        return False

    def take_known(self, head: Head, data: bytes, end: int) -> bool:
        """Take a request whose head, up to `end`, was read before; False where the parser has to look at it."""
        server, missing = self.server, end + head.body_bytes - len(data)
        if missing < 0 or (missing and not takes_past(head)):
            return False
        if not self.application.still_admits(head):
            server.known_heads.forget(data[:end])
            return False
        buffered_bytes = server.buffered_bytes + head.body_bytes
        if buffered_bytes > server.most_buffered_bytes:
            return False
        if missing:
            LargeBody(self, head).begin(memoryview(data)[end:])
            return True
        self.reader.head_done = True
        server.buffered_bytes = buffered_bytes
        request = Request(head, data[end:], self.since_s)
        if self.active is None and not self.pending and not self.paused_since_s:
            self.begin(request)
        else:
            self.take(request)
        return True

    def read_by(self, protocol: asyncio.BaseProtocol) -> None:
        """Let `protocol` have what comes in. How the loop reads follows from its kind, when reading starts."""
        self.transport.pause_reading()
        self.transport.set_protocol(protocol)
        if not self.reading_paused:
            self.transport.resume_reading()

    def invite(self) -> None:
        """Ask for the body of a client that waits for it, where it is next in turn."""
        if self.active is None and not self.pending:
            self.transport.write(CONTINUE)

    def take(self, request: Request) -> None:
        """One more request is whole."""
        self.since_s = request.arrived_s
        self.pending.append(request)
        if self.active is None:
            self.answer_next()
        if len(self.pending) >= MAX_PIPELINED and not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()

    def drop_pending(self) -> None:
        for request in self.pending:
            if isinstance(request, Request):
                self.release(request)
        self.pending.clear()

    def release(self, request: Request) -> None:
        self.server.buffered_bytes -= len(request.body)

    def refuse(self, error: SwitchyardError) -> None:
        """Answer with an error after what came before it, and take nothing more from this connection."""
        if self.lingering_since_s:
            return
        self.lingering_since_s = monotonic()
        self.reader.drop_body()
        head, self.reader.head = self.reader.head, None
        self.pending.append(self.application.refusal(error, head))
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
        pending = self.pending
        while pending and self.active is None and not self.paused_since_s:
            request = pending.popleft()
            if isinstance(request, Response):
                self.write(request, None, keep_alive=False)
                break
            self.begin(request)
        self.answering = False
        if self.reading_paused and len(pending) < MAX_PIPELINED:
            self.reading_paused = False
            if self.unread:
                self.wait_for_turn()
            else:
                self.transport.resume_reading()

    def begin(self, request: Request) -> None:
        self.active = request
        running = self.application.handle(request, self.respond)
        if self.active is request:  # else it is answered already
            self.running = running

    def respond(self, response: Response) -> None:
        """The answer to the active request."""
        request = self.active
        if request is None:  # the client hung up meanwhile
            return
        self.running = None
        self.since_s = monotonic()
        last_of_drain = self.server.draining and not self.pending
        self.write(response, request, request.keep_alive and not last_of_drain)
        self.server.buffered_bytes -= len(request.body)
        self.active = None
        if self.pending and not self.answering:
            self.answer_next()

    def write(self, response: Response, request: Request | None, keep_alive: bool) -> None:
        transport = self.transport
        if transport.is_closing():
            return
        body, tail = response.body, response.tail
        asked = None if request is None else request.head
        head = render_head(response, self.server.date, keep_alive, asked is not None and asked.http_1_0)
        if asked is not None and asked.method == b"HEAD":
            transport.write(head)
        elif len(body) < JOIN_BYTES and not tail:
            transport.write(head + body)
        else:
            transport.writelines((head, body, *tail))
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
