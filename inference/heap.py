"""Memory where a process serves: what is freed stays for the next to take, and what is new lies together.

By itself glibc gives the end of the heap back to the kernel each time something large is done, and gets it anew, page
by page and zeroed, for the next. For a MiniLM batch of 32 rows on torch that is 15,000 page faults and a tenth of the
time; for a picture through a gateway, half of its time. What it costs: a process holds up to so many bytes that it does
not use. GPU memory is torch's own affair.

And Python fills gaps first. Ten thousand models leave a few thousand of them, scattered over 250 MB, and the objects of
each request, short-lived as they are, would lie in a thousand pages: 2.3 µs of 22 a request, all of it misses in the
processor's tables of pages. Gaps are filled once, for good, with 4 MB.
"""

import ctypes

LARGEST_BYTES = 32 * 1024 * 1024  # above, an allocation is a mapping of its own, gone when freed; glibc takes no more
SIZES = range(48, 513, 16)  # bytes an object takes: up to 512, those of one size share pages
HEADER_BYTES = 33  # of a bytes object
GAPS, GAPS_LARGE, LARGE_BYTES = 4000, 200, 128  # filled of each size; of sizes above LARGE_BYTES few are ever left
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory(kept_bytes: int) -> bool:
    """Ask malloc for it; False where the C library has no such wish to grant (musl, macOS)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES) and mallopt(M_TRIM_THRESHOLD, kept_bytes))


def fill_gaps() -> list[object]:
    """Fill the gaps that a start has left; they stay so while the result is kept. To be called when all is loaded."""
    filler: list[object] = [float(index) for index in range(GAPS)]  # the smallest: 32 bytes
    for size_bytes in SIZES:
        gaps = GAPS if size_bytes <= LARGE_BYTES else GAPS_LARGE
        filler += [bytes(size_bytes - HEADER_BYTES) for _ in range(gaps)]
    return filler
