"""A real `Server` on a real socket, whose "model" hands each item's tensors back when the test lets it."""

import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.peer import Peer

from inference.transport.batch import Batch, Timings
from inference.transport.connection import Limits
from inference.transport.frames import ItemResult, Role, WorkerHello, tensors_of
from inference.transport.listening import listen
from inference.transport.server import Server

DIGEST = "d" * 64
IMPATIENT = Limits(introduction_s=0.2, stall_s=0.4)


class Echo:
    """The loop of a worker, in a thread. `hold` keeps batches until `release`; `answered` lists who was served."""

    def __init__(self, address: str, slots: int, context: ssl.SSLContext | None, limits: Limits) -> None:
        self.server = Server(listen(address), WorkerHello("r", DIGEST, "main", slots, 8), context, limits)
        host, port = ("", 0) if address.startswith("unix:") else self.server.listener.getsockname()[:2]
        self.address = f"tls:{host}:{port}" if host else address
        self.slots = slots
        self.free_to_run = threading.Event()
        self.free_to_run.set()
        self.ending = False
        self.answered: list[str] = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        if self.slots:
            self.server.open(self.slots)
        while not self.ending:
            self.server.turn(0.02)
            if self.server.inbox and self.free_to_run.is_set():
                self.answer(self.server.inbox.popleft())

    def answer(self, batch: Batch) -> None:
        items, body, offset = [], [], 0
        for item in batch.items:
            tensors, offset = tensors_of(item.tensors, batch.body, offset)
            items.append(ItemResult(item.tensors))
            body += [tensor.data for tensor in tensors]
        assert batch.connection.hello is not None
        self.answered.append(batch.connection.hello.id)
        self.server.answer(batch, items, body, Timings(1, 2, 3))

    def hold(self) -> None:
        self.free_to_run.clear()

    def release(self) -> None:
        self.free_to_run.set()

    def connect(self, id: str = "peer", role: Role = Role.GATEWAY, tls: ssl.SSLContext | None = None) -> Peer:
        peer = Peer(self.address, tls)
        peer.hello(DIGEST, role, id)
        return peer

    def end(self) -> None:
        self.ending = True
        self.thread.join(5)
        self.server.close()


@pytest.fixture
def echo(short_tmp: Path) -> Iterator[Callable[..., Echo]]:
    started: list[Echo] = []

    def start(
        slots: int = 2,
        address: str = "",
        context: ssl.SSLContext | None = None,
        limits: Limits = IMPATIENT,
    ) -> Echo:
        started.append(Echo(address or f"unix:{short_tmp}/w.sock", slots, context, limits))
        return started[-1]

    yield start
    for one in started:
        one.end()
