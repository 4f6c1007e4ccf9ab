"""Memory that a batch frees stays with the process, for the next batch to take.

By itself glibc gives the end of the heap back to the kernel each time a large batch is done, and gets it anew, page by
page and zeroed, for the next: 15,000 page faults and a tenth of the time of a MiniLM batch of 32 rows on torch. What it
costs: a process holds up to KEPT_BYTES that it does not use. GPU memory is torch's own affair.
"""

import ctypes

KEPT_BYTES = 256 * 1024 * 1024
LARGEST_BYTES = 32 * 1024 * 1024  # above, an allocation is a mapping of its own, gone when freed; glibc takes no more
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Ask malloc for it; False where the C library has no such wish to grant (musl, macOS)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
