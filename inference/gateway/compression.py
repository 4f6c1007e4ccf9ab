"""Bodies that come compressed, and answers that go so: gzip, deflate (in zlib's form, as the standard has it), zstd.

A small body can hold a huge one. So nothing is inflated further than the most that a body may be, nor, once it is of
some size, further than data of models is ever packed: a bomb is refused after milliseconds of work, between which
others have their turn, and never lies in memory.
"""

import zlib
from functools import lru_cache
from typing import Protocol

import zstandard

from inference.errors import BadInput, TooLarge, UnsupportedFeature

MIN_BYTES = 4_096  # an answer below it fits into a few packets anyway
IN_PLACE_BYTES = 64 * 1024  # above, an answer is compressed in a thread: others must not wait for it
LEVEL = 1  # the network is seldom so slow that more would be won than lost
MAX_WINDOW_BYTES = 8 * 1024 * 1024  # what every zstd decoder has to take, and no more
STEP_BYTES = 256 * 1024  # of what comes out of zlib at a time: in one large buffer it takes three times as long
SLICE_BYTES = 256  # of a zstd stream at a time: it grows by 8 MB at most, for 4 bytes can stand for 128 KB
MAX_RATIO = 100  # as Envoy has it; gzip reaches 1,000 and zstd 30,000, on nothing but repetition
ANY_RATIO_BYTES = 4 * 1024 * 1024  # up to here, however well it is packed: zeros, as many a test sends

GZIP_BITS, ZLIB_BITS = 31, 15
ORDER = (b"zstd", b"gzip", b"deflate")  # of preference where a client has none


class Inflater(Protocol):
    @property
    def done(self) -> bool:
        """Whether the whole stream has come."""

    def feed(self, data: bytes, most: int) -> bytes:
        """What follows in the stream; of more than `most` bytes only as much as shows it. Raises BadInput, TooLarge."""


class Ratio:
    """How much has come of a stream, and how much it was inflated to."""

    def __init__(self) -> None:
        self.taken_bytes = 0
        self.given_bytes = 0

    def count(self, taken_bytes: int, given_bytes: int) -> None:
        self.taken_bytes += taken_bytes
        self.given_bytes += given_bytes
        if self.given_bytes > ANY_RATIO_BYTES + MAX_RATIO * self.taken_bytes:
            raise TooLarge(
                f"The body inflates to over {MAX_RATIO} times its size, which is taken up to {ANY_RATIO_BYTES} bytes "
                "only. Send it as it is, or in several requests."
            )


class ZlibInflater:
    def __init__(self, coding: str, bits: int):
        self.coding = coding
        self.ratio = Ratio()
        self.stream = zlib.decompressobj(bits)

    @property
    def done(self) -> bool:
        return self.stream.eof

    def feed(self, data: bytes, most: int) -> bytes:
        parts, left = [], most
        while left > 0:
            step = min(left, STEP_BYTES)
            try:
                part = self.stream.decompress(data, step)
            except zlib.error as error:
                raise BadInput(f"The body is not {self.coding}, as its Content-Encoding says: {error}.") from None
            if self.stream.unused_data:
                raise BadInput(f"Something follows the {self.coding} stream of the body.")
            rest = self.stream.unconsumed_tail
            self.ratio.count(len(data) - len(rest), len(part))
            parts.append(part)
            left -= len(part)
            if not rest and len(part) < step:
                break
            data = rest
        return parts[0] if len(parts) == 1 else b"".join(parts)


class ZstdInflater:
    def __init__(self) -> None:
        self.ratio = Ratio()
        self.stream = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()

    @property
    def done(self) -> bool:
        return bool(self.stream.eof)

    def feed(self, data: bytes, most: int) -> bytes:
        parts, size = [], 0
        for start in range(0, len(data), SLICE_BYTES):
            if self.done:
                raise BadInput("Something follows the zstd stream of the body.")
            some = data[start : start + SLICE_BYTES]
            try:
                part = self.stream.decompress(some)
            except zstandard.ZstdError as error:
                raise BadInput(f"The body is not zstd, as its Content-Encoding says: {error}.") from None
            self.ratio.count(len(some), len(part))
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
