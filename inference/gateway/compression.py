"""Bodies that come compressed, and answers that go so: gzip, deflate (in zlib's form, as the standard has it), zstd.

A small body can hold a huge one. So nothing is inflated further than the most that a body may be, and what is more is
refused when that much of it is known, not when all of it lies in memory.
"""

import zlib
from functools import lru_cache
from typing import Protocol

import zstandard

from inference.errors import BadInput, UnsupportedFeature

MIN_BYTES = 4_096  # an answer below it fits into a few packets anyway
IN_PLACE_BYTES = 64 * 1024  # above, an answer is compressed in a thread: others must not wait for it
LEVEL = 1  # the network is seldom so slow that more would be won than lost
MAX_WINDOW_BYTES = 8 * 1024 * 1024  # what every zstd decoder has to take, and no more
SLICE_BYTES = 1_024  # of a zstd stream at a time: it grows by 32 MB at most, for 4 bytes can stand for 128 KB

GZIP_BITS, ZLIB_BITS = 31, 15
ORDER = (b"zstd", b"gzip", b"deflate")  # of preference where a client has none


class Inflater(Protocol):
    @property
    def done(self) -> bool:
        """Whether the whole stream has come."""

    def feed(self, data: bytes, most: int) -> bytes:
        """What follows in the stream; of more than `most` bytes only as much as shows it. Raises BadInput."""


class ZlibInflater:
    def __init__(self, coding: str, bits: int):
        self.coding = coding
        self.stream = zlib.decompressobj(bits)

    @property
    def done(self) -> bool:
        return self.stream.eof

    def feed(self, data: bytes, most: int) -> bytes:
        try:
            inflated = self.stream.decompress(data, most)
        except zlib.error as error:
            raise BadInput(f"The body is not {self.coding}, as its Content-Encoding says: {error}.") from None
        if self.stream.unused_data:
            raise BadInput(f"Something follows the {self.coding} stream of the body.")
        return inflated


class ZstdInflater:
    def __init__(self) -> None:
        self.stream = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()

    @property
    def done(self) -> bool:
        return bool(self.stream.eof)

    def feed(self, data: bytes, most: int) -> bytes:
        parts, size = [], 0
        for start in range(0, len(data), SLICE_BYTES):
            if self.done:
                raise BadInput("Something follows the zstd stream of the body.")
            try:
                part = self.stream.decompress(data[start : start + SLICE_BYTES])
            except zstandard.ZstdError as error:
                raise BadInput(f"The body is not zstd, as its Content-Encoding says: {error}.") from None
            parts.append(part)
            size += len(part)
            if size >= most:
                break
        if self.stream.unused_data:
            raise BadInput("Something follows the zstd stream of the body.")
        return b"".join(parts)


def open_inflater(coding: bytes) -> Inflater | None:
    """For a request's Content-Encoding; None for a body as it is. Raises UnsupportedFeature."""
    match coding.strip().lower():
        case b"identity" | b"":
            return None
        case b"gzip" | b"x-gzip":
            return ZlibInflater("gzip", GZIP_BITS)
        case b"deflate":
            return ZlibInflater("deflate", ZLIB_BITS)
        case b"zstd":
            return ZstdInflater()
    raise UnsupportedFeature("A body may come as it is, or in one of gzip, deflate and zstd.")


@lru_cache(maxsize=256)
def choose_coding(accepted: bytes) -> bytes:
    """The coding that an Accept-Encoding likes best; empty for none of ours."""
    weights: dict[bytes, float] = {}
    for item in accepted.lower().split(b","):
        name, _, parameter = item.partition(b";")
        key, _, value = parameter.strip().partition(b"=")
        try:
            weights[name.strip()] = float(value) if key == b"q" else 1.0
        except ValueError:
            weights[name.strip()] = 0.0
    anything = weights.get(b"*", 0.0)
    best = max(ORDER, key=lambda name: weights.get(name, anything))  # of equals the first
    return best if weights.get(best, anything) > 0 else b""


def compress(coding: bytes, body: bytes) -> bytes:
    if coding == b"zstd":
        return zstandard.ZstdCompressor(level=LEVEL).compress(body)
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_BITS if coding == b"gzip" else ZLIB_BITS)
    return stream.compress(body) + stream.flush()
