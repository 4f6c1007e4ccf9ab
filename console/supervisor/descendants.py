"""Every process below `up`, whoever started it.

`up` is a subreaper: when a controller dies, its workers become children of `up` and not of init. So nothing has to be
remembered to be found again, the ended are reaped, and the last of them is known to be gone.
"""

import contextlib
import ctypes
import os
import sys
import time

import psutil

DRAIN_S = 25.0
PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Linux only, as is its need: elsewhere orphans go to init and end by their lifeline all the same."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap_orphan(own: set[int]) -> bool:
    """Collect one ended child that came from a dead program, and say whether there was one; call it often.

    Children of `own` are waited for by whoever started them, and so are short helpers, which share our session.
    """
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended and ended.si_pid not in own and os.getsid(ended.si_pid) != os.getsid(0):
            return os.waitpid(ended.si_pid, os.WNOHANG)[0] > 0
    except (ChildProcessError, ProcessLookupError):
        return False
    return False


def living(spare: set[int]) -> list[psutil.Process]:
    """Descendants that run, but for those of `spare` and below them."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.pid not in spare and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def await_descendants(spare: set[int]) -> None:
    """Until all are gone; those that stay after their drain time are killed."""
    end = time.monotonic() + DRAIN_S
    while living(spare):
        if time.monotonic() > end:
            kill_descendants(spare)
        time.sleep(0.05)
    while reap_orphan(spare):
        pass


def kill_descendants(spare: set[int]) -> None:
    for process in living(spare):
        with contextlib.suppress(psutil.Error):
            process.kill()
