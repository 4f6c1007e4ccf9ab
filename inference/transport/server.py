"""The worker's side of the frames: accept, introduce, take batches in, send answers out, share the slots.

One thread, no hidden ones: `turn()` does what the sockets are ready for and returns, so the loop that runs the model
also answers, grants and beats. A batch that a peer sent waits in `inbox`, at most `slots` a gateway; everything else is
bounded by `Connection`. A peer that speaks nonsense or stays silent half-way loses its connection, and nobody else's.
"""

import contextlib
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from inference.errors import SwitchyardError
from inference.log import get_log
from inference.policy.polling import Polling
from inference.transport.batch import Batch, Timings
from inference.transport.connection import Connection, Hangup, Limits
from inference.transport.credits import Credits, Overdrawn
from inference.transport.frames import (
    BadFrame,
    Cancel,
    ClientHello,
    Data,
    Drain,
    Grant,
    Heartbeat,
    ItemResult,
    Kind,
    Result,
    Role,
    TensorHead,
    Want,
    WorkerHello,
    decode_header,
    pack,
    pack_parts,
)
from inference.transport.listening import accept_one
from inference.transport.polling_selector import PollingSelector

MAX_ITEMS = 4096  # in one batch
CROSSING_S = 0.25  # after DRAIN, how long DATA that was already on its way may still come in
DEFAULT_LIMITS = Limits()

log = get_log()


class Server:
    """Slots are zero until `open()`: gateways may connect early and are granted then."""

    def __init__(
        self,
        listener: socket.socket,
        hello: WorkerHello,
        context: ssl.SSLContext | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.listener = listener
        self.limits = limits
        self.hello = hello
        self.context = context
        self.credits = Credits(settle_s=limits.settle_s)
        self.connections: set[Connection] = set()
        self.inbox: deque[Batch] = deque()
        self.batches: dict[tuple[Connection, int], Batch] = {}  # received and not answered
        self.selector = PollingSelector(Polling(limits.poll_s))
        self.selector.register(listener, selectors.EVENT_READ, None)
        listener.settimeout(0)
        self.wake_read, self.wake_write = socket.socketpair()  # another thread ends a wait by writing here
        self.wake_read.settimeout(0)
        self.wake_write.settimeout(0)
        self.selector.register(self.wake_read, selectors.EVENT_READ, self.wake_read)
        self.observer_came = False  # a controller connected: it wants a heartbeat now
        self.draining_since_s: float | None = None
        self.next_check_s = 0.0

    def open(self, slots: int) -> None:
        """Ready: grant slots to whoever is there."""
        self.send_moves(self.credits.open(slots, time.monotonic()))

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nobody waits any more
            self.wake_write.send(b"\0")

    def turn(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` for sockets and do all that they are ready for."""
        settles_at_s = self.credits.settles_at_s()
        if settles_at_s is not None:
            timeout_s = min(timeout_s, max(settles_at_s - time.monotonic(), 0.0))
        if self.draining_since_s is not None:
            timeout_s = min(timeout_s, CROSSING_S / 5)
        for key, events in self.selector.select(timeout_s):
            if isinstance(key.data, Connection):
                self.serve(key.data, events)
            elif key.data is None:
                self.accept()
            else:
                with contextlib.suppress(BlockingIOError):
                    self.wake_read.recv(4096)
        now_s = time.monotonic()
        if settles_at_s is not None and now_s >= settles_at_s:
            self.send_moves(self.credits.settle(now_s))
        if now_s >= self.next_check_s:
            self.next_check_s = now_s + min(1.0, self.limits.introduction_s / 2)
            for connection in list(self.connections):
                try:
                    connection.check_time(now_s)
                except Hangup as error:
                    self.drop(connection, error)

    def accept(self) -> None:
        sock = accept_one(self.listener, self.context)
        if sock is None:
            return
        if len(self.connections) >= self.limits.connections:
            sock.close()
            return
        connection = Connection(sock, self.limits, time.monotonic())
        self.connections.add(connection)
        self.selector.register(sock, selectors.EVENT_READ, connection)

    def serve(self, connection: Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                connection.flush()
            if events & selectors.EVENT_READ or connection.shaking:
                for kind, header, body in connection.read():
                    self.receive(connection, kind, header, body)
            self.watch(connection)
        except (Hangup, BadFrame) as error:
            self.drop(connection, error)

    def watch(self, connection: Connection) -> None:
        """Ask the selector for what this connection waits for now."""
        if connection not in self.connections:  # dropped while its own frames were served
            return
        events = selectors.EVENT_READ if connection.takes_more else 0
        events |= selectors.EVENT_WRITE if connection.wants_write else 0
        if connection.events != events:
            connection.events = events
            self.selector.modify(connection.sock, events, connection)

    def receive(self, connection: Connection, kind: Kind, raw: bytes, body: memoryview) -> None:
        header = decode_header(kind, raw, ClientHello)
        if isinstance(header, ClientHello):
            self.introduce(connection, header)
        elif connection not in self.credits.accounts:
            raise BadFrame(f"Only a gateway that said HELLO may send {kind.name}.")
        elif isinstance(header, Data):
            self.receive_batch(connection, header, body)
        elif isinstance(header, Want):
            self.send_moves(self.credits.want(connection, header.requests, time.monotonic()))
        elif isinstance(header, Cancel):
            batch = self.batches.get((connection, header.batch))
            if batch is not None:  # else it crossed the answer
                batch.cancelled.update(header.items)
        else:
            raise BadFrame(f"A worker takes no {kind.name}.")

    def introduce(self, connection: Connection, hello: ClientHello) -> None:
        if connection.hello is not None:
            raise BadFrame("A second HELLO.")
        connection.introduce(hello)
        connection.write(pack(Kind.HELLO, self.hello))
        if self.draining_since_s is not None:
            connection.write(pack(Kind.DRAIN, Drain("stopping")))
        if hello.role == Role.CONTROLLER:
            self.observer_came = True
        elif hello.role != Role.GATEWAY:
            raise BadFrame(f"Unknown role {hello.role}.")
        elif hello.digest != self.hello.digest:
            raise BadFrame(f"Asked for version {hello.digest[:12]}; this replica serves {self.hello.digest[:12]}.")
        else:
            self.send_moves(self.credits.join(connection, time.monotonic()))

    def receive_batch(self, connection: Connection, data: Data, body: memoryview) -> None:
        if not 0 < len(data.items) <= MAX_ITEMS:
            raise BadFrame(f"A batch of {len(data.items)} items; 1 to {MAX_ITEMS} are possible.")
        sizes = [head.size_bytes for head in data.joined]
        sizes += [head.size_bytes for item in data.items for head in item.tensors]
        if sum(sizes) != len(body) or min(sizes, default=0) < 0:
            raise BadFrame(f"The tensors of a batch claim {sum(sizes)} bytes; the frame carries {len(body)}.")
        if data.joined and (min(rows := [item.rows for item in data.items]) < 1 or not fits(data.joined, sum(rows))):
            raise BadFrame("The rows of a batch's items do not add up to those of its tensors.")
        if (connection, data.batch) in self.batches:
            raise BadFrame(f"Batch {data.batch} is already here.")
        try:
            self.credits.spend(connection, len(data.items))
        except Overdrawn:
            raise BadFrame(f"More batches than the {self.credits.limit} slots of this worker.") from None
        batch = Batch(connection, data.batch, data.items, body, time.monotonic(), joined=data.joined)
        self.batches[connection, data.batch] = batch
        self.inbox.append(batch)

    def answer(
        self,
        batch: Batch,
        items: list[ItemResult],
        body: Iterable[bytes | memoryview],
        took: Timings,
        joined: Sequence[TensorHead] = (),
    ) -> None:
        """Send the answers of a batch and give its slot on. A gateway that is gone gets nothing; its slot is free."""
        if self.batches.pop((batch.connection, batch.number), None) is None:
            return
        moves = self.credits.done(batch.connection, time.monotonic())
        grant = moves.pop(batch.connection, 0)
        result = Result(batch.number, grant, items, took.collate_ns, took.infer_ns, took.split_ns, list(joined))
        self.send(batch.connection, *pack_parts(Kind.RESULT, result, body))
        self.send_moves(moves)

    def send_moves(self, moves: dict[Hashable, int]) -> None:
        for connection, change in moves.items():
            if change and isinstance(connection, Connection):
                self.send(connection, pack(Kind.GRANT, Grant(change)))

    def beat(self, status: bytes) -> None:
        """Send a heartbeat to every controller; one that has not read the last gets none."""
        self.observer_came = False
        frame = pack(Kind.HEARTBEAT, Heartbeat(), (status,))
        for connection in list(self.connections):
            if connection.hello is not None and connection.hello.role == Role.CONTROLLER and not connection.unsent:
                self.send(connection, frame)

    def send(self, connection: Connection, *frame: bytes | memoryview) -> None:
        if connection not in self.connections:
            return
        try:
            connection.write(*frame)
            self.watch(connection)
        except Hangup as error:
            self.drop(connection, error)

    def drain(self, reason: str) -> None:
        """Take no new connection and no new work; what is here, or on its way, is still answered."""
        if self.draining_since_s is not None:
            return
        self.draining_since_s = time.monotonic()
        self.credits.close()
        self.stop_listening()
        frame = pack(Kind.DRAIN, Drain(reason))
        for connection in list(self.connections):
            if connection.hello is not None:
                self.send(connection, frame)

    @property
    def drained(self) -> bool:
        """Everything is answered and sent, and nothing can be on its way any more."""
        if self.draining_since_s is None or self.batches:
            return False
        gateways = [connection for connection in self.connections if connection in self.credits.accounts]
        if any(gateway.unsent for gateway in gateways):
            return False
        return not gateways or time.monotonic() - self.draining_since_s >= CROSSING_S

    def drop(self, connection: Connection, error: SwitchyardError) -> None:
        """Forget a connection and the work it waited for."""
        if connection not in self.connections:
            return
        if isinstance(error, BadFrame):
            log.warning("connection_refused", reason=str(error))
            with contextlib.suppress(OSError, Hangup):  # tell the peer why, if it still listens
                connection.write(pack(Kind.DRAIN, Drain(str(error))))
        self.connections.discard(connection)
        self.selector.unregister(connection.sock)
        connection.close()
        for key in [key for key in self.batches if key[0] is connection]:
            batch = self.batches.pop(key)
            if batch in self.inbox:
                self.inbox.remove(batch)
        self.send_moves(self.credits.leave(connection, time.monotonic()))

    def stop_listening(self) -> None:
        if self.listener.fileno() < 0:
            return
        self.selector.unregister(self.listener)
        if self.listener.family == socket.AF_UNIX:
            with contextlib.suppress(OSError):
                Path(self.listener.getsockname()).unlink()
        self.listener.close()

    def close(self) -> None:
        self.stop_listening()
        for connection in list(self.connections):
            connection.close()
        self.connections.clear()
        self.selector.close()
        self.wake_read.close()
        self.wake_write.close()


def fits(heads: Iterable[TensorHead], rows: int) -> bool:
    return all(head.shape[:1] == (rows,) for head in heads)
