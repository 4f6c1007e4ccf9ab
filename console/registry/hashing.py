"""The digests of a folder's files, as the store and the version's digest want them."""

import hashlib
from pathlib import Path

from console.registry.archives import Unpacked


def hash_files(folder: Path) -> list[Unpacked]:
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        files.append(Unpacked(path.relative_to(folder).as_posix(), digest, path.stat().st_size))
    return files
