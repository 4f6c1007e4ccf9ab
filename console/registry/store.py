"""The artifact store: files by their sha256 at `<store>/sha256/<first two>/<sha256>`, written once, never changed.

A file appears under its name only whole and synced: it is written beside, then renamed. Adding files and their rows,
and removing what no row names any more, exclude each other through one lock file, so neither undoes the other.
"""

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from console.lib.errors import StorageFull

# A file-size limit and a quota say the same to the person as a full disk: nothing more fits.
GRACE_S = 3600.0
WORKSPACE_LIFE_S = 86_400.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def store_url() -> str:
    return str(settings.ARTIFACT_STORE)


def store_folder() -> Path:
    parts = urlsplit(store_url())
    if parts.scheme != "file":
        raise ImproperlyConfigured(f"SWITCHYARD_STORE={store_url()!r}: the console writes to file:// stores.")
    return Path(unquote(parts.path))


def uploads_folder() -> Path:
    folder = Path(settings.DATA_DIR) / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def blob_path(sha256: str) -> Path:
    return store_folder() / "sha256" / sha256[:2] / sha256


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn "no space left" into StorageFull. The caller has undone its half by then, so nothing is torn."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull(
                f"The disk is full: {what} does not fit. Free some space, then go on where it stopped."
            ) from error
        raise


@contextmanager
def locked_store() -> Iterator[None]:
    folder = store_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder on the store's own disk, so that files move from it by rename; gone at the end, whatever happens."""
    parent = store_folder() / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_in(file: Path, sha256: str) -> None:
    """Move a finished file into the store. Twice is once. Within `locked_store`."""
    target = blob_path(sha256)
    if target.exists():
        file.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as synced:
        os.fsync(synced.fileno())
    file.chmod(0o444)
    file.replace(target)
    sync_folder(target.parent)


def remove(digests: Iterable[str]) -> None:
    """Within `locked_store`. A worker that has the file loaded keeps it: its cache holds a link of its own."""
    for sha256 in digests:
        blob_path(sha256).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def old_blobs() -> Iterator[Path]:
    """Stored files past an hour of age: a younger one may be waiting for its row."""
    oldest_s = time.time() - GRACE_S
    for blob in (store_folder() / "sha256").glob("??/*"):
        if blob.stat().st_ctime < oldest_s:
            yield blob


def remove_old_workspaces() -> None:
    oldest_s = time.time() - WORKSPACE_LIFE_S
    for folder in (store_folder() / "tmp").glob("*"):
        if folder.stat().st_mtime < oldest_s:
            shutil.rmtree(folder, ignore_errors=True)
