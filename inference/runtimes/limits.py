"""Limits that a process sets on itself before it opens somebody's file."""

import os
import resource
import signal
from collections.abc import Callable


def limit_process(*, memory_bytes: int, cpu_s: int, on_cpu_limit: Callable[[], None]) -> None:
    """Cap address space and CPU time, and leave no core file. `on_cpu_limit` has a second to say why.

    Memory past the cap is a MemoryError; CPU time past the cap calls back once and then is a kill by the kernel.
    """
    lower(resource.RLIMIT_AS, memory_bytes, memory_bytes)
    lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
    lower(resource.RLIMIT_CORE, 0, 0)
    signal.signal(signal.SIGXCPU, lambda *_: on_cpu_limit())
    os.environ["HF_HUB_OFFLINE"] = "1"


def lower(kind: int, soft: int, hard: int) -> None:
    """Never raises a limit that stands already: only root could, and it is there for a reason."""
    _, standing = resource.getrlimit(kind)
    if standing != resource.RLIM_INFINITY:
        soft, hard = min(soft, standing), min(hard, standing)
    resource.setrlimit(kind, (soft, hard))
