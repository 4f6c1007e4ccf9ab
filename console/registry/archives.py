"""What an uploaded file holds, decided before a byte of it is unpacked.

`plan` reads only names and sizes: zip from the central directory, tar by skipping from header to header, anything else
is one file. It refuses what could leave the folder (absolute names, `..`, links), stand for something else (devices,
encrypted or doubly named members) or grow without bound (count, size, ratio, overlapping members). `unpack` then
writes exactly the planned members and stops at the first byte past the plan.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from console.registry.containers import DAMAGED, LIMITS, Limits, UnsafeUpload, open_members

COPY_BYTES = 1024 * 1024
LITTER = {"__MACOSX", ".DS_Store", "Thumbs.db"}


@dataclass(frozen=True)
class Member:
    path: str  # where it goes, relative, forward slashes
    name: str  # what the archive calls it
    size_bytes: int


@dataclass(frozen=True)
class Unpacked:
    path: str
    sha256: str
    size_bytes: int


def kind_of(filename: str) -> str:
    """zip | tar | file. By name, not by content: a .pt2 is a zip inside, and must stay one file."""
    lower = filename.lower()
    if lower.endswith(".zip"):
        return "zip"
    return "tar" if lower.endswith((".tar.gz", ".tgz", ".tar")) else "file"


def check_filename(filename: str) -> str:
    """A bare file name that is safe on every disk. Raises UnsafeUpload."""
    path = clean_path(filename)
    if "/" in path:
        raise UnsafeUpload(f"The file name {filename!r} holds a folder; give the bare name.")
    return path


def plan(archive: Path, filename: str, limits: Limits = LIMITS) -> list[Member]:
    """The members to unpack, in archive order, or UnsafeUpload with what is wrong."""
    kind = kind_of(filename)
    if kind == "file":
        return [Member(check_filename(filename), filename, archive.stat().st_size)]
    try:
        with open_members(archive, kind, limits) as members:
            return settle(members.listed, archive.stat().st_size, limits)
    except DAMAGED as error:
        raise UnsafeUpload(f"{filename!r} is not a readable {kind} archive: {error}.") from error


def unpack(
    archive: Path,
    filename: str,
    folder: Path,
    *,
    limits: Limits = LIMITS,
    on_bytes: Callable[[int], None],
) -> list[Unpacked]:
    """Write the planned members under `folder`, which must be empty; `on_bytes` is told the total as it grows."""
    members = plan(archive, filename, limits)
    kind = kind_of(filename)
    written: list[Unpacked] = []
    done = 0
    if kind == "file":
        with archive.open("rb") as source:
            written.append(write_member(source, members[0], folder, on_bytes, done))
        return written
    try:
        with open_members(archive, kind, limits) as opened:
            for member in members:
                with opened.open(member.name) as source:
                    written.append(write_member(source, member, folder, on_bytes, done))
                done += member.size_bytes
    except DAMAGED as error:
        raise UnsafeUpload(f"{filename!r} breaks off or is damaged: {error}.") from error
    return written


def write_member(
    source: IO[bytes], member: Member, folder: Path, on_bytes: Callable[[int], None], done: int
) -> Unpacked:
    target = folder / member.path
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as out:
        while chunk := source.read(COPY_BYTES):
            size += len(chunk)
            if size > member.size_bytes:
                raise UnsafeUpload(f"{member.name!r} is larger than the archive says ({member.size_bytes} bytes).")
            digest.update(chunk)
            out.write(chunk)
            on_bytes(done + size)
    if size != member.size_bytes:
        raise UnsafeUpload(f"{member.name!r} ends after {size} of {member.size_bytes} bytes.")
    return Unpacked(member.path, digest.hexdigest(), size)


def settle(listed: list[tuple[str, int]], archive_bytes: int, limits: Limits) -> list[Member]:
    """Check what the archive lists as a whole, and take off the one folder that people often zip around everything."""
    if len(listed) > limits.max_files:
        raise UnsafeUpload(f"The archive holds {len(listed)} files; {limits.max_files} are allowed.")
    total = sum(size for _, size in listed)
    if total > limits.max_bytes:
        raise UnsafeUpload(f"The files take {total} bytes unpacked; {limits.max_bytes} are allowed.")
    if total > limits.free_ratio_bytes and total > limits.max_ratio * archive_bytes:
        raise UnsafeUpload(
            f"The files unpack to {total / max(archive_bytes, 1):.0f} times the archive's size; "
            f"{limits.max_ratio:g} times is allowed. This is what a zip bomb looks like."
        )
    paths = [(clean_path(name), name, size) for name, size in listed]
    paths = [item for item in paths if not LITTER & set(PurePosixPath(item[0]).parts)]
    if not paths:
        raise UnsafeUpload("The archive holds no file.")
    tops = {PurePosixPath(path).parts[0] for path, _, _ in paths}
    nested = all("/" in path for path, _, _ in paths)
    if len(tops) == 1 and nested:
        paths = [(path.partition("/")[2], name, size) for path, name, size in paths]
    check_distinct([path for path, _, _ in paths])
    return [Member(path, name, size) for path, name, size in paths]


def clean_path(name: str, max_path: int = LIMITS.max_path) -> str:
    """The name as a relative path that stays where it is put. Raises UnsafeUpload."""
    if not name or not name.isprintable():  # nor a mark that turns the reading around: what is shown is what is so
        raise UnsafeUpload(f"The name {name!r} is empty or holds characters that cannot be seen.")
    if "\\" in name or name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        raise UnsafeUpload(f"The name {name!r} is absolute or has backslashes; use relative names with '/'.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UnsafeUpload(f"The name {name!r} leads out of the folder. Pack the files without '..'.")
    path = "/".join(parts)
    if not path or len(path.encode()) > max_path:
        raise UnsafeUpload(f"The name {name[:60]!r}… is empty or longer than {max_path} bytes.")
    return path


def check_distinct(paths: list[str]) -> None:
    """No path twice, whatever the case, and no file where another needs a folder."""
    seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        folded = path.casefold()
        if folded in seen:
            raise UnsafeUpload(f"The archive holds {path!r} twice.")
        seen.add(folded)
        folders.update(str(parent) for parent in PurePosixPath(folded).parents if str(parent) != ".")
    if clash := seen & folders:
        raise UnsafeUpload(f"The archive holds {min(clash)!r} as a file and as a folder.")
