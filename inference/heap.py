"""Memory that one batch or body frees stays with the process, for the next to take.

By itself glibc gives the end of the heap back to the kernel each time something large is done, and gets it anew, page
by page and zeroed, for the next. For a MiniLM batch of 32 rows on torch that is 15,000 page faults and a tenth of the
time; for a picture through a gateway, half of its time. What it costs: a process holds up to so many bytes that it does
not use. GPU memory is torch's own affair.
"""

import ctypes

LARGEST_BYTES = 32 * 1024 * 1024  # above, an allocation is a mapping of its own, gone when freed; glibc takes no more
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory(kept_bytes: int) -> bool:
    """Ask malloc for it; False where the C library has no such wish to grant (musl, macOS)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES) and mallopt(M_TRIM_THRESHOLD, kept_bytes))
