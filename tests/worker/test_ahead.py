"""Batches launched ahead on a device: kept two deep, answered in order, each with its own answer or error.

The device here is a stand-in that is done when it is told to be, or when somebody waits for it.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.peer import Peer, floats
from support.replicas import make_job, tiny_version

from inference.errors import ModelFailed
from inference.protocol.tensors import to_numpy
from inference.spec import TensorSpec
from inference.transport.frames import Data, Item, Kind, TensorHead, WorkerHello, tensors_of
from inference.transport.listening import listen
from inference.transport.server import Server
from inference.worker.ahead import Ahead
from inference.worker.collate import new_array
from inference.worker.failures import DeviceLost
from inference.worker.loop import Loop
from inference.worker.stop import Stop
from inference.worker.vitals import Vitals


class UnderWay:
    def __init__(self, device: "Device", x: np.ndarray):
        self.device, self.x = device, x

    def is_done(self) -> bool:
        return self.device.done.is_set()

    def wait(self) -> dict[str, np.ndarray]:
        self.device.events.append(f"waited {self.x[0, 0]:g}")
        if (self.x == 13).any():
            raise ModelFailed("Out of luck.")
        if (self.x == 16).any():
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return {"y": 2 * self.x}


class Device:
    """y = 2x, as a pipeline on a GPU."""

    inputs = (TensorSpec(name="x", datatype="FP32", shape=(-1, 1)),)
    outputs = (TensorSpec(name="y", datatype="FP32", shape=(-1, 1)),)

    def __init__(self) -> None:
        self.events: list[str] = []
        self.done = threading.Event()

    def launch(self, batch: dict[str, np.ndarray]) -> UnderWay:
        self.events.append(f"launched {batch['x'][0, 0]:g}")
        if (batch["x"] == 14).any():
            raise ModelFailed("It cannot even be launched.")
        return UnderWay(self, batch["x"].copy())

    def run(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.launch(batch).wait()


def quick() -> Device:
    device = Device()
    device.done.set()
    return device


class Worker:
    def __init__(self, folder: Path) -> None:
        job = make_job(folder, tiny_version(folder / "store"))
        self.hello = WorkerHello(job.replica, job.version.digest, "main", 2, 8)
        self.address, self.digest = job.address, job.version.digest
        self.server = Server(listen(job.address), self.hello)
        self.stop = Stop()
        self.stop.on_request = self.server.wake
        self.loop = Loop(self.server, Vitals(job, time.time()), self.stop, drain_s=5)
        self.thread: threading.Thread | None = None
        self.error: Exception | None = None

    def serve(self, device: Device) -> Peer:
        """A gateway whose batches are all here before the first is looked at: the loop starts with `go`."""
        self.server.open(2)
        self.ahead = Ahead(self.loop, device, 8, new_array)
        self.thread = threading.Thread(target=self.run)
        return introduced(self)

    def run(self) -> None:
        try:
            self.loop.work(self.ahead.step)
        except DeviceLost as error:
            self.error = error

    def end(self) -> None:
        self.stop.request("the test is over")
        if self.thread is not None and self.thread.ident is not None:
            self.thread.join(10)
        self.server.close()


def introduced(worker: Worker) -> Peer:
    """Connect and introduce while this thread turns the server itself."""
    connected: list[Peer] = []

    def connect() -> None:
        peer = Peer(worker.address)
        peer.hello(digest=worker.digest)
        peer.wait_for_credit()
        connected.append(peer)

    helper = threading.Thread(target=connect)
    helper.start()
    while helper.is_alive():
        worker.server.turn(0.01)
    return connected[0]


@pytest.fixture
def worker(short_tmp: Path) -> Iterator[Worker]:
    made = Worker(short_tmp)
    yield made
    made.end()


def send(peer: Peer, number: int, *values: float) -> None:
    """One DATA frame with a request of one row for each value, joined."""
    head = TensorHead("x", "FP32", (len(values), 1), 4 * len(values))
    items = [Item(1, 0, []) for _ in values]
    peer.send(Kind.DATA, Data(number, items, [head]), [np.array(values, np.float32).tobytes()])


def start(worker: Worker, batches: int) -> None:
    while len(worker.server.inbox) < batches:
        worker.server.turn(0.05)
    assert worker.thread is not None
    worker.thread.start()


def answer(peer: Peer) -> tuple[int, list[float | str]]:
    header, body = peer.expect(Kind.RESULT)
    if header.joined:
        (tensor,), _ = tensors_of(header.joined, body)
        return header.batch, to_numpy(tensor).ravel().tolist()
    found, offset = [], 0
    for item in header.items:
        tensors, offset = tensors_of(item.tensors, body, offset)
        found.append(item.error or float(to_numpy(tensors[0]).ravel()[0]))
    return header.batch, found


def test_the_second_batch_is_launched_before_the_first_is_waited_for(worker: Worker) -> None:
    device = Device()
    with worker.serve(device) as peer:
        send(peer, 1, 1, 2)
        send(peer, 2, 5)
        start(worker, 2)
        assert answer(peer) == (1, [2, 4])
        send(peer, 3, 7)
        assert answer(peer) == (2, [10])
        assert device.events[:3] == ["launched 1", "launched 5", "waited 1"]
        # The third came while the second ran, so the second was waited for behind it.
        assert device.events[3:5] == ["launched 7", "waited 5"]
        device.done.set()
        assert answer(peer) == (3, [14])


def test_a_lone_batch_is_answered_as_soon_as_the_device_is_done(worker: Worker) -> None:
    device = Device()
    with worker.serve(device) as peer:
        send(peer, 1, 4)
        start(worker, 1)
        device.done.set()
        assert answer(peer) == (1, [8])


def test_an_item_that_makes_a_launched_batch_fail_fails_alone(worker: Worker) -> None:
    device = quick()
    with worker.serve(device) as peer:
        send(peer, 1, 1, 13, 3)
        send(peer, 2, 5)
        start(worker, 2)
        assert answer(peer) == (1, [2, "model_failed", 6])
        assert answer(peer) == (2, [10])


def test_a_batch_that_cannot_be_launched_is_told_so_in_its_turn(worker: Worker) -> None:
    device = quick()
    with worker.serve(device) as peer:
        send(peer, 1, 1)
        send(peer, 2, 14, 2)
        start(worker, 2)
        assert answer(peer) == (1, [2])
        assert answer(peer) == (2, ["model_failed", 4])


def test_items_that_come_apart_are_run_in_their_turn(worker: Worker) -> None:
    device = quick()
    with worker.serve(device) as peer:
        send(peer, 1, 1)
        peer.numbers = 1
        peer.send_batch(floats([5]), floats([6]))
        start(worker, 2)
        assert answer(peer) == (1, [2])
        assert answer(peer) == (2, [10, 12])


def test_what_is_under_way_is_answered_before_a_drained_worker_ends(worker: Worker) -> None:
    device = Device()
    with worker.serve(device) as peer:
        send(peer, 1, 1)
        send(peer, 2, 2)
        worker.stop.reason = "asked to stop"
        start(worker, 2)
        assert answer(peer) == (1, [2])
        device.done.set()
        assert answer(peer) == (2, [4])
        assert worker.thread is not None
        worker.thread.join(10)
        assert not worker.thread.is_alive()


def test_a_lost_device_ends_the_worker(worker: Worker) -> None:
    with worker.serve(quick()) as peer:
        send(peer, 1, 16)
        start(worker, 1)
        assert worker.thread is not None
        worker.thread.join(10)
        assert isinstance(worker.error, DeviceLost)
