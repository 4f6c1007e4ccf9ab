"""Artifact files into this node's cache: each checked by sha256, in place at once or not at all, pinned while loaded.

<cache>/<digest>/…         the files, as the artifact lists them
<cache>/<digest>.checked   size and time of each file when it was last hashed: what changed since is hashed again
<cache>/<digest>.lock      held shared by every process that uses the artifact, alone by one that frees it
<cache>/<digest>.filling   held alone by one that fills the folder
<cache>/<digest>.turned    weights in another order than the artifact has them, which its replicas map
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import msgspec

from inference.errors import ArtifactError, CorruptArtifact, UnsafeArtifact
from inference.log import get_log
from inference.spec import Artifact, ArtifactFile, artifact_digest

CHUNK_BYTES = 1024 * 1024
Stamp = tuple[int, int, int]  # size, mtime in ns, inode

log = get_log()


class Pinned:
    """An artifact's folder, kept from being freed until `release` or the end of the process."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.lock = lock

    @property
    def turned(self) -> Path:
        """See `runtimes.weight_layout`."""
        return beside(self.folder, ".turned")

    def release(self) -> None:
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


def materialise(artifact: Artifact, cache: Path) -> Pinned:
    """The folder with the artifact's files, checked. Raises ArtifactError."""
    check_listing(artifact)
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / artifact.digest
    lock = open_lock(folder, ".lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not is_checked(artifact, folder):
            filling = open_lock(folder, ".filling")
            try:
                fcntl.flock(filling, fcntl.LOCK_EX)
                with disk_full_said():
                    if not is_checked(artifact, folder):  # else a twin filled it while we waited
                        fill(artifact, folder)
            finally:
                os.close(filling)
        os.utime(beside(folder, ".checked"))  # last use: the longest unused is freed first
    except BaseException:
        os.close(lock)
        raise
    return Pinned(folder, lock)


def beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


def open_lock(folder: Path, suffix: str) -> int:
    return os.open(beside(folder, suffix), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def check_listing(artifact: Artifact) -> None:
    if artifact_digest(artifact.files) != artifact.digest:
        raise CorruptArtifact(f"Artifact {artifact.digest[:12]}: the list of its files does not have this digest.")
    paths = set()
    for file in artifact.files:
        path = PurePosixPath(file.path)
        if (
            path in paths
            or path.is_absolute()
            or not path.parts
            or ".." in path.parts
            or "\\" in file.path
            or "\0" in file.path
        ):
            raise UnsafeArtifact(
                f"Artifact {artifact.digest[:12]} names the file {file.path!r}, which is not a place of its own in it."
            )
        paths.add(path)


def store_folder(artifact: Artifact) -> Path:
    url = urlsplit(artifact.store)
    if url.scheme != "file" or url.netloc not in ("", "localhost"):
        raise ArtifactError(f"Workers read artifacts from file:// stores; this one lies in {url.scheme or 'none'}://.")
    return Path(unquote(url.path))


def fill(artifact: Artifact, folder: Path) -> None:
    """Build beside and rename, so a folder of that name is always whole."""
    store = store_folder(artifact)
    building = beside(folder, ".building")
    shutil.rmtree(building, ignore_errors=True)
    make_room(artifact, store, folder.parent)
    try:
        for file in artifact.files:
            place(file, store / "sha256" / file.sha256[:2] / file.sha256, building / file.path)
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
        write_checked(artifact, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def place(file: ArtifactFile, source: Path, target: Path) -> None:
    """Link where the store lies on the same disk, else copy; either way what we hash is what we keep."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            target.hardlink_to(source)
        except FileNotFoundError:
            raise
        except OSError:
            with source.open("rb") as reader, target.open("xb") as writer:
                shutil.copyfileobj(reader, writer, CHUNK_BYTES)
                writer.flush()
                os.fsync(writer.fileno())
    except FileNotFoundError:
        raise CorruptArtifact(
            f"File {file.path!r} ({file.sha256[:12]}) is not in the store. Upload it again."
        ) from None
    check_file(file, target)


def check_file(file: ArtifactFile, path: Path) -> None:
    size = path.stat().st_size
    if size != file.size_bytes:
        raise CorruptArtifact(
            f"File {file.path!r} has {size} bytes; {file.size_bytes} are listed. Upload the artifact again."
        )
    with path.open("rb") as reader:
        found = hashlib.file_digest(reader, "sha256").hexdigest()
    if found != file.sha256:
        raise CorruptArtifact(
            f"File {file.path!r} has sha256 {found[:12]}…; {file.sha256[:12]}… is listed. Upload the artifact again."
        )


def stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def is_checked(artifact: Artifact, folder: Path) -> bool:
    """Whether the folder is whole and right. Files that changed since they were hashed are hashed again."""
    try:
        stamps = read_checked(folder)
        for file in artifact.files:
            if stamps.get(file.path) != stamp(folder / file.path):
                check_file(file, folder / file.path)
    except FileNotFoundError:
        return False
    except CorruptArtifact as error:
        log.warning("cached_artifact_damaged", reason=str(error))
        return False
    if stamps != stamps_of(artifact, folder):
        write_checked(artifact, folder)
    return True


def read_checked(folder: Path) -> dict[str, Stamp]:
    try:
        return msgspec.json.decode(beside(folder, ".checked").read_bytes(), type=dict[str, Stamp])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def stamps_of(artifact: Artifact, folder: Path) -> dict[str, Stamp]:
    return {file.path: stamp(folder / file.path) for file in artifact.files}


def write_checked(artifact: Artifact, folder: Path) -> None:
    fresh = beside(folder, f".{os.getpid()}.new")
    fresh.write_bytes(msgspec.json.encode(stamps_of(artifact, folder)))
    fresh.replace(beside(folder, ".checked"))


@contextlib.contextmanager
def disk_full_said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_room(0, 0) from error


def no_room(needed: int, free: int) -> ArtifactError:
    sizes = f" {needed} bytes are needed and {free} are free." if needed else ""
    return ArtifactError(
        f"The disk of the artifact cache is full.{sizes} Free space there, or unload versions that are not used."
    )


def make_room(artifact: Artifact, store: Path, cache: Path) -> None:
    """Free unpinned artifacts, longest unused first, until a copy of this one fits. Links need no room."""
    needed = sum(file.size_bytes for file in artifact.files)
    if store.exists() and store.stat().st_dev == cache.stat().st_dev:
        return
    marks = sorted(cache.glob("*.checked"), key=lambda path: path.stat().st_mtime)
    while shutil.disk_usage(cache).free < needed + CHUNK_BYTES:
        if not marks:
            raise no_room(needed, shutil.disk_usage(cache).free)
        free_artifact(cache, marks.pop(0).stem)


def free_artifact(cache: Path, digest: str) -> bool:
    """Delete a cached artifact unless a process has it loaded; say whether it is gone."""
    folder = cache / digest
    lock = open_lock(folder, ".lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        for suffix in (".checked", ".turned"):
            beside(folder, suffix).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(lock)
