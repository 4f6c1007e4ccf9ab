"""The lifeline: a pipe whose write end only `up` (or `local`) holds.

Every program below inherits the read end. When the holder ends, however it ends, the kernel closes the write end and
each reader sees end-of-file: it drains and exits. So nothing outlives `up`, not even its SIGKILL, and no pid is
ever guessed. Without the variable (programs run by systemd) there is no lifeline and nothing to watch.
"""

import asyncio
import os
import select
import threading
from collections.abc import Callable, Mapping

VARIABLE = "SWITCHYARD_LIFELINE_FD"


def lifeline_fd(environ: Mapping[str, str] = os.environ) -> int | None:
    """The inherited read end, or None."""
    given = environ.get(VARIABLE, "")
    return int(given) if given else None


def open_lifeline() -> tuple[int, int]:
    """A new pipe as (read end, to be inherited; write end, to be kept and never inherited)."""
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)  # noqa: FBT003
    return read_end, write_end


def watch_lifeline(loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
    """Call `on_end` in the loop, once, when the holder is gone."""
    fd = lifeline_fd()
    if fd is None:
        return

    def ended() -> None:
        loop.remove_reader(fd)
        on_end()

    loop.add_reader(fd, ended)


def watch_lifeline_in_thread(on_end: Callable[[], None]) -> None:
    """The same for a program without an event loop; `on_end` runs in a daemon thread."""
    fd = lifeline_fd()
    if fd is None:
        return

    def wait() -> None:
        # Not by a blocking read: all programs share one open pipe, and uvloop in another makes it non-blocking for all.
        select.select([fd], [], [])
        on_end()  # nobody ever writes: it is readable only at end-of-file

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
