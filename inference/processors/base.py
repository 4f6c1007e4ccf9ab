"""Processors: the pre- and post-processing steps a version may name. Registered and configured, never uploaded.

A processor takes some of the tensors at hand and returns the ones it adds, under the names its stage declares; what
each position means, its docstring says. Axis 0 is rows; BYTES are object arrays of `bytes`. To add one: a module here
and a line in PROCESSORS, or, from another package, an entry point in the group `switchyard.processors`.
"""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec
import numpy as np

from inference.errors import BadDocument, BadInput, CorruptArtifact, UnsafeArtifact
from inference.spec import Stage

# Imported on first use: a tokenizer's process needs no image library, and none of them needs torch.
PROCESSORS = {
    "tokenizer": "inference.processors.tokenizer:Tokenizer",
    "pooling": "inference.processors.pooling:Pooling",
    "image": "inference.processors.image:ImageDecoder",
    "classify": "inference.processors.classify:Classifier",
    "delay": "inference.processors.faults:Delay",
    "fail": "inference.processors.faults:Fail",
}
ENTRY_POINTS = "switchyard.processors"
# What a tokenizer adds besides its outputs: the tokens of each row, padding left out.
TOKEN_COUNTS = "switchyard.token_counts"  # noqa: S105  no password

Array = Any  # a numpy array or, for processors that run `on_device`, a torch tensor


class BadRow(BadInput):
    """One row cannot be processed; the others of its batch can. `row` counts from 0 in the batch that was run."""

    def __init__(self, tensor: str, row: int, why: str):
        super().__init__(f"Row {row} of input {tensor!r} {why}")
        self.tensor, self.row, self.why = tensor, row, why


class Processor(Protocol):
    on_device: ClassVar[bool]  # works on torch tensors as on numpy arrays, so it may follow a model on its device
    warms_up: ClassVar[bool]  # False: left out of the warm-up (faults are for requests only)
    sample: ClassVar[bytes]  # a valid BYTES element, for the warm-up; empty where it takes none

    def __init__(self, stage: Stage, folder: Path): ...

    def run(self, tensors: dict[str, Array]) -> dict[str, Array]: ...


def find_processor(name: str) -> type[Processor]:
    if target := PROCESSORS.get(name):
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return entry.load()
    raise BadDocument(
        f"No processor is called {name!r}. Known are {', '.join(sorted(known_processors()))}; a package adds more "
        f"through the entry-point group {ENTRY_POINTS!r}."
    )


def known_processors() -> set[str]:
    return set(PROCESSORS) | {entry.name for entry in entry_points(group=ENTRY_POINTS)}


Settings = TypeVar("Settings", bound=msgspec.Struct)


def read_config(stage: Stage, kind: type[Settings]) -> Settings:
    """The stage's config as `kind`; unknown fields and wrong types raise BadDocument with the stage's name."""
    try:
        return msgspec.convert(stage.config, kind)
    except msgspec.ValidationError as error:
        raise BadDocument(f"The config of stage {stage.name!r} ({stage.use}) is not valid: {error}.") from error


def artifact_file(folder: Path, name: str) -> Path:
    """`folder/name`, with `name` checked to be a plain path inside of it and the file to be there."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise UnsafeArtifact(f"The config names the file {name!r}. Name one inside the version's folder.")
    found = folder / path
    if not found.is_file():
        raise CorruptArtifact(f"The version has no file {name!r}, which its config names. Upload it with the others.")
    return found


def read_rows(tensor: str, values: np.ndarray, max_bytes: int) -> list[bytes]:
    """The rows of a BYTES tensor that holds one element a row."""
    if values.ndim != 1 and values.size != len(values):
        raise BadInput(f"Input {tensor!r} holds {values.size} elements in {len(values)} rows; send one a row.")
    rows = values.ravel().tolist()
    for row, value in enumerate(rows):
        if len(value) > max_bytes:
            raise BadRow(tensor, row, f"holds {len(value)} bytes; at most {max_bytes} are taken.")
    return rows


def read_texts(tensor: str, values: np.ndarray, max_bytes: int) -> list[str]:
    texts = []
    for row, value in enumerate(read_rows(tensor, values, max_bytes)):
        try:
            texts.append(value.decode())
        except UnicodeDecodeError as error:
            raise BadRow(tensor, row, f"is not UTF-8 text (byte {error.start}). Send text as UTF-8.") from None
    return texts
