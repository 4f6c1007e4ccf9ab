"""Static files under names that carry their hash, compressed once, collected when a source changed.

Only our own css and js are rewritten (imports and url() point to hashed names); vendored files stay as their makers
built them. Where nothing was collected, as in tests, names stay plain.
"""

import fcntl
import hashlib
from pathlib import Path
from typing import Any

import brotli
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from servestatic.compress import Compressor
from servestatic.storage import CompressedManifestStaticFilesStorage

# Of the packages' files we serve Swagger UI alone: no ReDoc, no browsable API.
IGNORED = ("rest_framework", "django_filters", "redoc", "*.map", "LICENSE", "oauth2-redirect*", "README.md")
LARGE_BYTES = 200_000


class QuickCompressor(Compressor):
    """Best brotli for small files, a level less for large ones: 3 % more bytes for a tenth of the time."""

    @staticmethod
    def compress_brotli(data: bytes) -> bytes:
        compressed: bytes = brotli.compress(data, quality=9 if len(data) > LARGE_BYTES else 11)
        return compressed


class HashedStorage(CompressedManifestStaticFilesStorage):
    support_js_module_import_aggregation = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        everywhere: dict[str, Any] = self.__dict__["_patterns"]  # "*.css" and "*.js": narrowed to our own folders
        self._patterns = {f"{glob[2:]}/{glob}": rules for glob, rules in everywhere.items()}

    def stored_name(self, name: str) -> str:
        return super().stored_name(name) if self.hashed_files else name

    def create_compressor(self, **kwargs: Any) -> Compressor:
        return QuickCompressor(**kwargs)


def collect_static() -> bool:
    """Collect if a source changed since the last time. Two at once: one waits and finds it done."""
    root = Path(settings.STATIC_ROOT)
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / ".static.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest, mark = sources_digest(), root / ".digest"
        if mark.exists() and mark.read_text() == digest:
            return False
        call_command("collectstatic", interactive=False, verbosity=0, clear=True, ignore_patterns=list(IGNORED))
        mark.write_text(digest)
    return True


def sources_digest() -> str:
    """Over name, size and time of every source: cheap, and changes with any edit."""
    seen = hashlib.sha256(repr(IGNORED).encode())
    for finder in get_finders():
        for path, storage in finder.list(IGNORED):
            facts = Path(storage.path(path)).stat()
            seen.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return seen.hexdigest()
