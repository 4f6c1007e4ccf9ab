"""Cache-key traces as they are published: what was asked for, request by request.

Read as a stream, so that a limit stops early and a file that breaks off gives what lies before the break, then says so.
xz and gzip are told by their first bytes, whatever the name of the file.
"""

import gzip
import json
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

MOST_BLOCKS = 1 << 20  # in one line of OLTP; more is another kind of file
CHUNK = 1 << 16  # bytes; a multiple of every width


class TraceError(Exception):
    """The file is not what it was said to be; the message says where and what to do."""


def read_trace(path: Path, format: str, limit: int | None = None) -> list[int]:
    """Keys in the order in which they were asked for, `limit` of them at most. Raises TraceError, OSError."""
    keys: list[int] = []
    try:
        with open_plain(path) as file:
            for key in islice(FORMATS[format](file), limit):
                keys.append(key)  # noqa: PERF402 - what was read before an error counts in its message
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error, struct.error, ValueError) as error:
        raise TraceError(
            f"{path} is no whole {format} trace: {error}, after {len(keys)} requests. "
            f"Fetch it again, name its format with --format, or replay what is there with --limit {len(keys)}."
        ) from error
    return keys


def open_plain(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        start = file.read(6)
    if start == b"\xfd7zXZ\x00":
        return lzma.open(path)
    return gzip.open(path) if start[:2] == b"\x1f\x8b" else path.open("rb")


def words(code: str) -> Callable[[IO[bytes]], Iterator[int]]:
    """Keys of a fixed width, one after the other; `code` as in struct."""
    word = struct.Struct(code)

    def read(file: IO[bytes]) -> Iterator[int]:
        while chunk := file.read(CHUNK):
            if rest := len(chunk) % word.size:
                yield from (key for (key,) in word.iter_unpack(chunk[:-rest]))
                raise ValueError(f"it ends {rest} bytes into a key of {word.size}")
            yield from (key for (key,) in word.iter_unpack(chunk))

    return read


def read_oltp(file: IO[bytes]) -> Iterator[int]:
    """Lines of `start count ignored request`: the blocks start, start + 1 … start + count - 1."""
    for number, line in enumerate(file, 1):
        if not (parts := line.split()):
            continue
        if len(parts) < 2:
            raise ValueError(f"line {number} has no count")
        start, count = int(parts[0]), int(parts[1])
        if not 0 <= count <= MOST_BLOCKS:
            raise ValueError(f"line {number} asks for {count} blocks at once")
        yield from range(start, start + count)


def read_mooncake(file: IO[bytes]) -> Iterator[int]:
    """A JSON object a line, with the ids of its prefix blocks in `hash_ids`."""
    for number, line in enumerate(file, 1):
        if line.strip():
            found = json.loads(line)
            ids = found.get("hash_ids") if isinstance(found, dict) else None
            if not isinstance(ids, list) or not all(isinstance(key, int) for key in ids):
                raise ValueError(f"line {number} has no list of numbers in hash_ids")
            yield from ids


FORMATS: dict[str, Callable[[IO[bytes]], Iterator[int]]] = {
    "u32be": words(">I"),
    "u32le": words("<I"),
    "i64be": words(">q"),
    "oltp": read_oltp,
    "mooncake": read_mooncake,
}
