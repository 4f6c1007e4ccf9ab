"""Opening zip and tar files without believing them: links, devices, overlaps and forged sizes are refused here."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from console.lib.errors import Invalid

MAX_READ_BYTES = 4 * 1024**2
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, struct.error, NotImplementedError,
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    max_files: int = 10_000
    max_bytes: int = 64 * 1024**3  # uncompressed
    max_ratio: float = 100.0
    free_ratio_bytes: int = 16 * 1024**2  # so small an archive may compress as well as it likes
    max_path: int = 255
    max_directory_bytes: int = 8 * 1024**2  # of a zip's central directory, which is read into memory whole


LIMITS = Limits()


class UnsafeUpload(Invalid):
    code = "upload_unsafe"


@dataclass
class Opened:
    """An archive at hand: its regular members as (name, size), and a way into each."""

    listed: list[tuple[str, int]]
    open: Callable[[str], IO[bytes]]


@contextmanager
def open_members(archive: Path, kind: str, limits: Limits) -> Iterator[Opened]:
    with open_zip(archive, limits) if kind == "zip" else open_tar(archive, limits) as opened:
        yield opened


@contextmanager
def open_zip(archive: Path, limits: Limits) -> Iterator[Opened]:
    check_directory_size(archive, limits)
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        check_overlap(infos, archive.stat().st_size)
        for info in infos:
            mode = info.external_attr >> 16
            kind = mode & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise UnsafeUpload(f"{info.filename!r} is a link or a special file; pack the file itself.")
            if info.flag_bits & 0x1:
                raise UnsafeUpload(f"{info.filename!r} is encrypted; pack without a password.")
        files = [info for info in infos if not info.is_dir()]
        by_name = {info.filename: info for info in files}
        if len(by_name) != len(files):
            raise UnsafeUpload("The archive holds a name twice.")
        yield Opened(
            [(info.filename, info.file_size) for info in files],
            lambda name: opened.open(by_name[name]),
        )


END_RECORD = struct.Struct("<4s4H2LH")
LOCAL_HEADER_BYTES = 30  # without its name: too little, which is the safe side here


def check_directory_size(archive: Path, limits: Limits) -> None:
    """Refuse a giant central directory before the library reads it into memory."""
    size = archive.stat().st_size
    with archive.open("rb") as file:
        file.seek(max(0, size - 65_557))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END_RECORD.size:
        raise UnsafeUpload("The file is not a zip archive, or its end is missing.")
    _, _, _, _, entries, directory, _, _ = END_RECORD.unpack_from(tail, at)
    zip64 = tail.rfind(b"PK\x06\x06", 0, at)
    if zip64 >= 0 and len(tail) - zip64 >= 56:
        entries, directory = struct.unpack_from("<QQ", tail, zip64 + 32)
    if entries > limits.max_files and entries != 0xFFFF:
        raise UnsafeUpload(f"The archive holds {entries} members; {limits.max_files} are allowed.")
    if directory > limits.max_directory_bytes and directory != 0xFFFFFFFF:
        raise UnsafeUpload(f"The archive's directory alone takes {directory} bytes; nothing honest needs that.")


def check_overlap(infos: list[zipfile.ZipInfo], archive_bytes: int) -> None:
    """Members that share bytes are how a small file unpacks to petabytes."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise UnsafeUpload(f"{info.filename!r} overlaps another member. This is what a zip bomb looks like.")
        end = info.header_offset + LOCAL_HEADER_BYTES + info.compress_size
    if end > archive_bytes:
        raise UnsafeUpload("A member claims more bytes than the archive has.")


@contextmanager
def open_tar(archive: Path, limits: Limits) -> Iterator[Opened]:
    with archive.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
        bounded = BoundedReader(stream, limits, archive.stat().st_size)
        with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:") as opened:
            files: dict[str, tarfile.TarInfo] = {}
            for info in opened:
                if len(files) >= limits.max_files:
                    raise UnsafeUpload(f"The archive holds more than {limits.max_files} files.")
                if info.isdir():
                    continue
                if not info.isreg() or info.issparse():
                    raise UnsafeUpload(f"{info.name!r} is a link or a special file; pack the file itself.")
                if info.name in files:
                    raise UnsafeUpload(f"The archive holds {info.name!r} twice.")
                files[info.name] = info
                bounded.check_end(info.offset_data + info.size)
            yield Opened(
                [(name, info.size) for name, info in files.items()],
                lambda name: cast("IO[bytes]", opened.extractfile(files[name])),
            )


class BoundedReader(io.RawIOBase):
    """A tar stream that refuses to be read or skipped past the limits, and never in one large piece."""

    def __init__(self, stream: Any, limits: Limits, archive_bytes: int):
        self.stream = stream
        by_ratio = max(limits.free_ratio_bytes, int(limits.max_ratio * archive_bytes))
        self.most = min(limits.max_bytes, by_ratio) + 1024 * limits.max_files

    def check_end(self, position: int) -> None:
        if position > self.most:
            raise UnsafeUpload(
                f"The files unpack to more than {self.most} bytes, the most allowed for an archive of this size."
            )

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self.stream.tell())

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            self.check_end(position)
        return int(self.stream.seek(position, whence))

    def read(self, size: int = -1) -> bytes:
        # Headers are small. A header that wants megabytes in one piece (a forged pax record) is refused here.
        if size < 0 or size > MAX_READ_BYTES:
            raise UnsafeUpload("A header of the archive is absurdly large.")
        self.check_end(self.tell() + size)
        return bytes(self.stream.read(size))
