"""The node's last good documents: `<folder>/<kind>/<key>.json`, from which any program starts with Redis away.

Each file is written whole (temporary file, fsync, rename), under a lock that all programs of the node share, and never
over a newer one. A file that cannot be read is set aside as `<key>.json.bad`, said, and does not stop the start.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from inference.errors import BadDocument
from inference.log import get_log
from inference.spec import Document, encode
from inference.sync.documents import KINDS, Change, is_newer, read_document

log = get_log()

Stamp = tuple[int, int, int]  # modification time, size, inode: another file by rename is another inode


class DocumentFolder:
    def __init__(self, folder: Path):
        self.folder = folder
        self.seen: dict[Path, Stamp] = {}

    def load(self) -> list[Change]:
        """Every readable document. Later calls of `changes` tell what came after."""
        self.seen = {}
        return self.changes()

    def changes(self) -> list[Change]:
        """Documents written since the last look, by whichever program."""
        found = []
        for kind in KINDS:
            for path, stamp in list_files(self.folder / kind):
                if self.seen.get(path) != stamp:
                    self.seen[path] = stamp
                    if (document := self.read(kind, path)) is not None:
                        found.append((kind, key_of_file(path), document))
        return found

    def read(self, kind: str, path: Path) -> Document | None:
        try:
            return read_document(kind, key_of_file(path), path.read_bytes())
        except FileNotFoundError:
            return None
        except (BadDocument, OSError) as error:
            aside = path.with_name(f"{path.name}.bad")
            with contextlib.suppress(OSError):
                path.replace(aside)
            log.warning("document_set_aside", path=str(path), aside=aside.name, error=str(error))
            return None

    def write(self, kind: str, key: str, document: Document) -> bool:
        """Make it the last good copy; False when the file already holds the same or a newer one. Raises OSError."""
        path = self.folder / kind / f"{quote(key, safe='')}.json"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.locked():
            held = self.read(kind, path) if path.exists() else None
            newer = is_newer(kind, document, held)
            if newer:
                write_atomically(path, encode(document))
            if newer or not is_newer(kind, held, document):  # type: ignore[arg-type]
                self.seen[path] = stamp_of(path.stat())  # ours: no news for us at the next look
        return newer

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # the kernel releases it when the file closes, however we end
            yield


def list_files(folder: Path) -> list[tuple[Path, Stamp]]:
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    with contextlib.suppress(FileNotFoundError):
                        found.append((Path(entry.path), stamp_of(entry.stat())))
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("documents_unreadable", folder=str(folder), error=str(error))
    return found


def stamp_of(stat: os.stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def key_of_file(path: Path) -> str:
    return unquote(path.name.removesuffix(".json"))


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Readers see the old file or the new one, whole, also after a power cut. Raises OSError and leaves nothing."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive
    finally:
        os.close(folder)
