"""What changes in a folder of documents, told by who changes it: a line a change, so that nobody has to look at all.

Looking at ten thousand files five times a second takes a third of a core. Whoever writes a document adds a line first;
a follower reads from where it stopped. Both hold the folder's lock, so a line that is read is of a document that was
written, or of one whose writer died. The first line names this journal: another name, or none at all, means that
something was missed, and then everything is looked at.
"""

import contextlib
import os
from pathlib import Path
from time import time_ns

MAX_BYTES = 1024 * 1024  # then a new one is begun, which costs each follower one look at everything
NAME = b"journal "  # without it the first line is no name, and everything is looked at each time

Place = tuple[str, str]  # kind, name of its file


class Journal:
    def __init__(self, path: Path):
        self.path = path
        self.name = b""  # of the journal that we have read
        self.read_bytes = 0  # of it, up to the end of a line

    def start(self) -> None:
        """Make one where there is none. Whoever cannot write here will look at everything instead."""
        with contextlib.suppress(OSError):
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(fd, NAME + b"%d\n" % time_ns())
            finally:
                os.close(fd)

    def note(self, kind: str, file: str) -> None:
        """Say that a document is being written. Where that fails, as on a full disk, everybody is made to look."""
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(fd, f"{kind}/{file}\n".encode())
                size_bytes = os.fstat(fd).st_size
            finally:
                os.close(fd)
        except OSError:
            size_bytes = MAX_BYTES + 1
        if size_bytes > MAX_BYTES:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            self.start()

    def read(self) -> list[Place] | None:
        """What was noted since the last call, each once; None: anything may have changed."""
        try:
            with self.path.open("rb") as file:
                name = file.readline()
                same = name == self.name and name.startswith(NAME) and name.endswith(b"\n")
                if not same:
                    self.name, self.read_bytes = name, len(name)
                file.seek(self.read_bytes)
                news = file.read()
        except OSError:
            self.name = b""
            return None
        news = news[: news.rfind(b"\n") + 1]  # a full disk may have cut a line
        self.read_bytes += len(news)
        if not same:
            return None
        lines = dict.fromkeys(news.decode(errors="replace").splitlines())
        return [(kind, file) for kind, _, file in (line.partition("/") for line in lines)]
