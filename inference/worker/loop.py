"""The loop of a replica: sockets, one batch, heartbeat, and again.

All of it is one thread. While the model computes, nothing else happens here, so a model that hangs shows as a worker
that is silent, and a worker that beats is one that works. Only while it loads (seconds to minutes of somebody else's
code) a helper thread turns the same loop, with the state saying so.
"""

import os
import threading
import time
from collections.abc import Callable
from math import inf
from typing import TypeVar

import msgspec

from inference.log import get_log
from inference.status import ReplicaState
from inference.transport.server import Server
from inference.worker.collate import Empty, new_array
from inference.worker.execute import Runnable, execute
from inference.worker.stop import Stop
from inference.worker.vitals import Vitals

BEAT_S = 1.0

log = get_log()
Loaded = TypeVar("Loaded")


class Loop:
    def __init__(self, server: Server, vitals: Vitals, stop: Stop, drain_s: float) -> None:
        self.server = server
        self.vitals = vitals
        self.stop = stop
        self.drain_s = drain_s
        self.next_beat_s = 0.0

    def enter(self, state: ReplicaState, reason: str = "") -> None:
        """Change the state and tell at once."""
        self.vitals.state, self.vitals.reason = state, reason
        self.beat()

    def tell(self, state: ReplicaState) -> None:
        """Change the state from beside the loop: whoever turns it tells at once."""
        self.vitals.state = state
        self.next_beat_s = 0.0
        self.server.wake()

    def beat(self) -> None:
        self.next_beat_s = time.monotonic() + BEAT_S
        self.server.beat(msgspec.json.encode(self.vitals.status(len(self.server.batches))))

    def turn(self, longest_s: float = inf) -> None:
        """One round of the sockets, then a heartbeat when it is time. Does not wait while work is here."""
        wait_s = 0.0 if self.server.inbox else max(self.next_beat_s - time.monotonic(), 0.0)
        self.server.turn(min(wait_s, longest_s))
        if self.server.observer_came or time.monotonic() >= self.next_beat_s:
            self.beat()

    def beside(self, load: Callable[[], Loaded], abandon: Callable[[], None]) -> Loaded:
        """Run `load` here, in the main thread, while a helper beats. A stop in the meantime abandons it at once."""
        done = threading.Event()

        def keep_beating() -> None:
            while not done.is_set():
                self.turn()
                if self.stop.reason:
                    log.info("stopped_while_loading", reason=self.stop.reason)
                    abandon()
                    os._exit(0)  # the main thread may be deep in a library that hears nothing

        helper = threading.Thread(target=keep_beating, name="beat-while-loading", daemon=True)
        helper.start()
        try:
            return load()
        finally:
            done.set()
            self.server.wake()
            helper.join()

    def serve(self, pipeline: Runnable, max_rows: int, empty: Empty = new_array) -> None:
        """Answer batches, one after the other. Raises DeviceLost."""
        server, vitals = self.server, self.vitals

        def step() -> float:
            if server.inbox:
                batch = server.inbox.popleft()
                items, body, took, joined = execute(pipeline, batch, max_rows, empty)
                server.answer(batch, items, body, took, joined)
                vitals.count(sum(item.rows for item in batch.items), took.infer_ns)
            return inf

        self.work(step)

    def work(self, step: Callable[[], float]) -> None:
        """Take steps until asked to stop, then drain. A step does some of the work, and says how long, in seconds, the
        sockets may be waited for after it."""
        server, give_up_s = self.server, inf
        while not server.drained and time.monotonic() < give_up_s:
            self.turn(step())
            if self.stop.reason and server.draining_since_s is None:
                log.info("draining", reason=self.stop.reason, batches=len(server.batches))
                server.drain(self.stop.reason)
                self.enter(ReplicaState.DRAINING, self.stop.reason)
                give_up_s = time.monotonic() + self.drain_s
        if server.batches:
            log.warning("stopped_with_work_left", batches=len(server.batches), drain_s=self.drain_s)
