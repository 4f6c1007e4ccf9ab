"""The node's last good documents: `<folder>/<kind>/<key>.json`, from which any program starts with Redis away.

Each file is written whole (temporary file, fsync, rename), under a lock that all programs of the node share, and never
over a newer one. Its name goes into the folder's journal, from which followers hear of it: whoever puts files
there by other means restarts what should read them. A file that cannot be read is set aside as `<key>.json.bad`, said,
and does not stop the start.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from inference.errors import BadDocument
from inference.log import get_log
from inference.spec import Document, encode
from inference.sync.documents import KINDS, Change, is_newer, read_document
from inference.sync.journal import Journal, Place

log = get_log()

Stamp = tuple[int, int, int]  # modification time, size, inode: another file by rename is another inode


class DocumentFolder:
    def __init__(self, folder: Path):
        self.folder = folder
        self.journal = Journal(folder / ".journal")
        self.seen: dict[tuple[str, str], Stamp] = {}  # (kind, name of the file)

    def load(self) -> list[Change]:
        """Every readable document. Later calls of `changes` tell what came after."""
        self.seen = {}
        self.noted()
        return self.look(list_files(self.folder))

    def changes(self) -> list[Change]:
        """Documents written since the last look, by whichever program."""
        noted = self.noted()
        if noted is None:
            return self.look(list_files(self.folder))
        ours = [(kind, name) for kind, name in noted if kind in KINDS and name.endswith(".json") and "/" not in name]
        return self.look((kind, name, self.folder / kind / name) for kind, name in ours)

    def noted(self) -> list[Place] | None:
        """Under the lock: a document is noted before it is written, and now nobody is between the two."""
        try:
            with self.locked(fcntl.LOCK_SH):
                self.journal.start()
                return self.journal.read()
        except OSError:  # no folder yet, or not ours to write
            return None

    def look(self, files: Iterable[tuple[str, str, Path | str]]) -> list[Change]:
        found = []
        for kind, name, path in files:
            try:
                stamp = stamp_of(os.stat(path))  # noqa: PTH116 -- ten thousand Paths cost more than the look
            except OSError:
                continue
            if self.seen.get((kind, name)) != stamp:
                self.seen[kind, name] = stamp
                if (document := self.read(kind, Path(path))) is not None:
                    found.append((kind, key_of_file(name), document))
        return found

    def read(self, kind: str, path: Path) -> Document | None:
        try:
            return read_document(kind, key_of_file(path.name), path.read_bytes())
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
                self.journal.note(kind, path.name)
                write_atomically(path, encode(document))
            if newer or not is_newer(kind, held, document):  # type: ignore[arg-type]
                self.seen[kind, path.name] = stamp_of(path.stat())  # ours: no news for us at the next look
        return newer

    @contextlib.contextmanager
    def locked(self, how: int = fcntl.LOCK_EX) -> Iterator[None]:
        with (self.folder / ".lock").open("ab") as file:
            fcntl.flock(file, how)  # the kernel releases it when the file closes, however we end
            yield


def list_files(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Kind, name and path of each document."""
    for kind in KINDS:
        try:
            with os.scandir(folder / kind) as entries:
                yield from [(kind, entry.name, entry.path) for entry in entries if entry.name.endswith(".json")]
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("documents_unreadable", folder=str(folder / kind), error=str(error))


def stamp_of(stat: os.stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def key_of_file(name: str) -> str:
    return unquote(name.removesuffix(".json"))


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
