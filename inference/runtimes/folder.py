"""An artifact's folder before anybody opens a model in it: names, links, sizes, digests."""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from inference.errors import CorruptArtifact, UnsafeArtifact
from inference.spec import ArtifactFile, Format

MAX_FILES = 2_000
MAX_NAME_BYTES = 512
MAX_CONFIG_BYTES = 16 * 1024 * 1024
# Files that hold code for somebody: of no use to any runtime here, so their presence means a mistake or worse.
CODE = frozenset({
    ".py", ".pyc", ".so", ".dll", ".dylib", ".cpp", ".cc", ".cu", ".cubin", ".ptx", ".hsaco", ".sh", ".exe", ".js",
})  # fmt: skip
# Weights as pickles: loading one runs what its writer wanted.
PICKLES = frozenset({".bin", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".msgpack"})
ARCHIVES = {Format.PT2: (".pt2",), Format.TORCHSCRIPT: (".pt", ".pth", ".ts", ".torchscript")}
EVERY_ARCHIVE = frozenset(suffix for suffixes in ARCHIVES.values() for suffix in suffixes)


def list_files(folder: Path, format: Format) -> tuple[tuple[ArtifactFile, ...], list[str]]:
    """Every file with its digest, in path order, and warnings. Raises UnsafeArtifact for what must not be there."""
    if not folder.is_dir():
        raise CorruptArtifact("There is no such folder. Give the folder that holds the model's files.")
    files, warnings = [], []
    for path in sorted(walk(folder)):
        name = path.relative_to(folder).as_posix()
        check_name(name)
        suffix = path.suffix.lower()
        if suffix in CODE:
            raise UnsafeArtifact(f"{name!r} holds code. A version holds weights and settings only: leave it out.")
        if suffix in PICKLES or (suffix in EVERY_ARCHIVE and suffix not in ARCHIVES.get(format, ())):
            raise UnsafeArtifact(
                f"{name!r} may be a pickle, which runs code when it is loaded, and {format.value} needs none. Upload "
                "*.safetensors or ONNX, and leave it out."
            )
        files.append(ArtifactFile(path=name, sha256=sha256_of(path), size_bytes=path.stat().st_size))
        if len(files) > MAX_FILES:
            raise UnsafeArtifact(f"The folder holds more than {MAX_FILES} files.")
        if path.stat().st_size == 0:
            warnings.append(f"{name} is empty.")
    if not files:
        raise CorruptArtifact("The folder is empty. Upload the model's files into it.")
    return tuple(files), warnings


def walk(folder: Path) -> list[Path]:
    """Regular files below `folder`; a link or a device raises UnsafeArtifact."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=False):
        for name in (*folders, *names):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                found.append(path)
            elif not stat.S_ISDIR(mode):
                relative = path.relative_to(folder).as_posix()
                raise UnsafeArtifact(f"{relative!r} is a link or a device. Only plain files are taken.")
    return found


def check_name(name: str) -> None:
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or ":" in name or not name.isprintable() or {"", ".", ".."} & set(parts):
        raise UnsafeArtifact(f"The file name {name!r} is not a plain path inside the version's folder. Rename it.")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise UnsafeArtifact(f"The file name {name[:40]!r}… is longer than {MAX_NAME_BYTES} bytes. Shorten it.")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def one_archive(folder: Path, format: Format) -> Path:
    suffixes = ARCHIVES[format]
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CorruptArtifact(f"The folder must hold one {' or '.join(suffixes)} file; it holds {names}.")
    return found[0]


def read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise CorruptArtifact(f"{path.name} is larger than {MAX_CONFIG_BYTES} bytes, which no configuration is.")
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CorruptArtifact(f"The folder has no {path.name}. Upload the whole folder of the model.") from None
    except (ValueError, RecursionError) as error:
        raise CorruptArtifact(f"{path.name} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise CorruptArtifact(f"{path.name} must hold a JSON object.")
    return value
