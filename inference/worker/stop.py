"""Why a worker shall end, from whichever side it comes: a signal, or the end of the lifeline."""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from inference.lifeline import watch_lifeline_in_thread

GRACE_S = 1.0


class Stop:
    """Set from anywhere, seen by the loop. `on_request` wakes what waits."""

    def __init__(self) -> None:
        self.reason = ""
        self.on_request: Callable[[], None] = lambda: None

    def request(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.on_request()

    def watch(self, drain_s: float) -> None:
        """Listen from now on. Call in the main thread."""

        def terminated(*_: int | FrameType | None) -> None:
            self.request("asked to stop")

        def lifeline_ended() -> None:
            self.request("the program that started this ended")
            # A model that hangs never looks at the request, and nobody is left to kill it.
            time.sleep(drain_s + GRACE_S)
            os._exit(1)

        signal.signal(signal.SIGTERM, terminated)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches a whole terminal; who started us decides
        watch_lifeline_in_thread(lifeline_ended)
