"""The zip archives of torch (.pt2, TorchScript), checked before torch opens one.

Two readers of one zip may see two different things: names in the central directory that differ from those in front of
the data, members twice, data that overlaps. What is let through here reads the same to everybody, holds only members of
known kinds, and no pickle that imports more than tensors need.
"""

import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inference.errors import CorruptArtifact, UnsafeArtifact
from inference.runtimes.folder import check_name
from inference.runtimes.pickles import check_pickle

MAX_MEMBERS = 10_000
MAX_TOTAL_BYTES = 64 * 1024**3
MAX_RATIO = 100
MAX_TEXT_BYTES = 512 * 1024**2  # of one JSON or pickle member, which is read whole
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
LOCAL_MAGIC = b"PK\x03\x04"
END_MAGIC = b"PK\x05\x06"
END_BYTES = 22
STREAMED = 0x08  # sizes follow the data: torch writes this flag
ENCRYPTED = 0x01
SIZES_IN_ZIP64 = 0xFFFFFFFF
CHUNK_BYTES = 1024 * 1024
SAMPLES = "data/sample_inputs/"


def open_archive(path: Path) -> zipfile.ZipFile:
    """The archive, once its directory agrees with its members. Raises UnsafeArtifact or CorruptArtifact."""
    check_end(path)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CorruptArtifact(f"{path.name} is not a zip archive, as torch writes them: {error}.") from None
    try:
        check_directory(path, archive)
    except BaseException:
        archive.close()
        raise
    return archive


def check_end(path: Path) -> None:
    """The file must end with its own end record. Readers that search for one would find that of an archive inside."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - END_BYTES))
        end = file.read()
    if len(end) != END_BYTES or not end.startswith(END_MAGIC) or end[-2:] != b"\0\0":
        raise CorruptArtifact(f"{path.name} does not end as torch's archives do: it was cut short, or is none.")


def check_directory(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise UnsafeArtifact(f"{path.name} holds {len(members)} members; at most {MAX_MEMBERS} are taken.")
    names = [member.filename for member in members]
    if len({name.casefold() for name in names}) != len(names):
        raise UnsafeArtifact(f"{path.name} holds a member twice: readers would differ on which one counts.")
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL_BYTES:
        raise UnsafeArtifact(f"{path.name} unpacks to {total} bytes; at most {MAX_TOTAL_BYTES} are taken.")
    end = 0
    with path.open("rb") as file:
        for member in sorted(members, key=lambda member: member.header_offset):
            check_member(path, member)
            if member.header_offset < end:
                raise UnsafeArtifact(f"In {path.name}, {member.filename!r} overlaps the member before it.")
            end = check_local_header(path, file, member) + member.compress_size
    if members and min(member.header_offset for member in members) != 0:
        raise UnsafeArtifact(f"{path.name} holds something in front of its first member.")
    if end > archive.start_dir:
        raise UnsafeArtifact(f"In {path.name}, the last member runs into the directory.")


def check_member(path: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    check_name(name.rstrip("/"))
    if member.orig_filename != name:
        raise UnsafeArtifact(
            f"{path.name} names a member {member.orig_filename!r}, which readers would take differently."
        )
    mode = member.external_attr >> 16
    if mode and (mode & 0o170000) not in (0, 0o100000, 0o040000):
        raise UnsafeArtifact(f"In {path.name}, {name!r} is a link or a device.")
    if member.flag_bits & ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsafeArtifact(f"In {path.name}, {name!r} is encrypted or packed in a way that torch never uses.")
    if member.file_size > MAX_RATIO * max(member.compress_size, 1) and member.file_size > CHUNK_BYTES:
        raise UnsafeArtifact(f"In {path.name}, {name!r} grows more than {MAX_RATIO} times when unpacked.")


def check_local_header(path: Path, file: Any, member: zipfile.ZipInfo) -> int:
    """Compare with the directory; return where the member's data begins."""
    file.seek(member.header_offset)
    raw = file.read(LOCAL_HEADER.size)
    if len(raw) != LOCAL_HEADER.size:
        raise CorruptArtifact(f"{path.name} ends inside {member.filename!r}. Upload it again.")
    magic, _, flags, method, _, _, crc, packed, size, name_size, extra_size = LOCAL_HEADER.unpack(raw)
    name = file.read(name_size)
    here = (magic, flags & ~STREAMED, method, name)
    there = (LOCAL_MAGIC, member.flag_bits & ~STREAMED, member.compress_type, encoded_name(member))
    sizes = [(crc, member.CRC), (packed, member.compress_size), (size, member.file_size)]
    unsaid = (0, SIZES_IN_ZIP64) if flags & STREAMED else (SIZES_IN_ZIP64,)
    if here != there or any(found not in (said, *unsaid) for found, said in sizes):
        raise UnsafeArtifact(f"In {path.name}, the directory says other things of {member.filename!r} than its header.")
    return member.header_offset + LOCAL_HEADER.size + name_size + extra_size


def encoded_name(member: zipfile.ZipInfo) -> bytes:
    return member.filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437")


def inner_names(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Member names below the archive's one top folder."""
    tops = {member.filename.partition("/")[0] for member in archive.infolist()}
    if len(tops) != 1:
        raise UnsafeArtifact(f"{path.name} holds {len(tops)} top folders; torch writes one.")
    for member in archive.infolist():
        if not member.is_dir():
            yield member.filename.partition("/")[2], member


def read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > MAX_TEXT_BYTES:
        raise UnsafeArtifact(f"In {path.name}, {member.filename!r} is {member.file_size} bytes of description.")
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise CorruptArtifact(f"In {path.name}, {member.filename!r} is damaged: {error}. Upload it again.") from None


def check_checksums(path: Path) -> None:
    """Read every member to its end, against its checksum. Once, at import: loads rely on the file's digest."""
    with open_archive(path) as archive:
        for member in archive.infolist():
            try:
                with archive.open(member) as content:
                    while content.read(CHUNK_BYTES):
                        pass
            except (zipfile.BadZipFile, OSError, EOFError) as error:
                raise CorruptArtifact(f"In {path.name}, {member.filename!r} is damaged: {error}.") from None


def check_known(path: Path, name: str, known: Callable[[str], bool]) -> None:
    if not known(name):
        raise UnsafeArtifact(
            f"{path.name} holds {name!r}, which is native code or of a kind not known here. Only plain graphs and "
            "tensors are taken; nothing compiled."
        )


def check_exported(path: Path) -> bool:
    """Refuse a .pt2 that holds more than a graph and tensors; say whether sample inputs are in it."""
    samples = False
    with open_archive(path) as archive:
        for name, member in inner_names(path, archive):
            check_known(path, name, is_exported_member)
            if name.startswith(SAMPLES) and member.file_size:
                samples = True
            elif name.startswith("data/") and name.endswith("_config.json"):
                check_payloads(path, name, read_member(path, archive, member))
    return samples


def is_exported_member(name: str) -> bool:
    parts = name.split("/")
    if name in ("archive_format", "archive_version", "byteorder", "version") or parts[0] in (".data", "extra"):
        return True
    if parts[0] == "models":
        return len(parts) == 2 and name.endswith(".json")
    plain = name.endswith("_config.json") or parts[-1].startswith(("weight_", "tensor_"))
    return (len(parts) == 3 and parts[:2] in (["data", "weights"], ["data", "constants"]) and plain) or (
        name.startswith(SAMPLES) and name.endswith(".pt")
    )


def check_payloads(path: Path, name: str, content: bytes) -> None:
    """Every tensor must be stored as its bytes: `use_pickle` would have torch unpickle it without any guard."""
    try:
        payloads = json.loads(content)["config"]
        pickled = [key for key, payload in payloads.items() if payload.get("use_pickle", True)]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise CorruptArtifact(f"In {path.name}, {name!r} does not describe tensors as torch does.") from None
    if pickled:
        raise UnsafeArtifact(
            f"{path.name} stores {pickled[0]!r} as a pickle (use_pickle), which runs code when it is loaded. Export a "
            "model whose weights are plain tensors."
        )


def drop_samples(path: Path, target: Path) -> None:
    """Write a .pt2 again without its sample inputs: a pickle that nobody needs, and often somebody's real data."""
    cleaned = target.with_name(target.name + ".cleaned")
    with open_archive(path) as archive, zipfile.ZipFile(cleaned, "w", zipfile.ZIP_STORED) as copy:
        for name, member in inner_names(path, archive):
            # An empty member, not none: torch looks for one, and takes an empty one for "no sample inputs".
            if name.startswith(SAMPLES):
                copy.writestr(member.filename, b"")
                continue
            with archive.open(member) as content, copy.open(member.filename, "w", force_zip64=True) as kept:
                shutil.copyfileobj(content, kept, CHUNK_BYTES)
    cleaned.replace(target)


def check_script(path: Path) -> None:
    """Refuse a TorchScript archive that holds more than scripts and tensors."""
    with open_archive(path) as archive:
        for name, member in inner_names(path, archive):
            check_known(path, name, is_script_member)
            if name.endswith((".pkl", ".debug_pkl")):
                check_pickle(read_member(path, archive, member), f"{name} in {path.name}", script=True)


def is_script_member(name: str) -> bool:
    parts = name.split("/")
    if name in ("data.pkl", "constants.pkl", "traced_inputs.pkl", "version", "byteorder"):
        return True
    if parts[0] in (".data", "extra"):
        return True
    if parts[0] == "code":
        return name.endswith((".py", ".debug_pkl"))
    return len(parts) == 2 and parts[0] in ("data", "constants", "traced_inputs") and parts[1].isdigit()
