"""Waiting without sleeping through the answer: poll, with a deadline."""

import time
from collections.abc import Callable


def wait_until(what: Callable[[], object], deadline_s: float = 10.0, why: str = "") -> object:
    """Poll until `what()` is true and return it; fail with `why` at the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"Not within {deadline_s} s: {why or what}")
