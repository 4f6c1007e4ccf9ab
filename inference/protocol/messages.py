"""What an inference is, whatever edge it came through: no HTTP, no gRPC, no JSON in here."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field


class Tensor(Struct, gc=False):
    """Named values. `data` is little-endian, row-major; BYTES elements are each a u32 length and the bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


class WantedOutput(Struct):
    """An output the client asked for, and how it wants it."""

    name: str
    binary: bool | None = None  # None: as the request says for all
    classification: int = 0


class InferRequest(Struct):
    model: str
    version: str = ""  # integer or alias; empty: routed
    id: str = ""
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[WantedOutput] = field(default_factory=list)  # empty: all
    parameters: dict[str, Any] = field(default_factory=dict)
    binary_output: bool = False
    priority: int = 0
    timeout_s: float | None = None


class InferResponse(Struct):
    model: str
    version: str
    id: str = ""
    outputs: Sequence[Tensor] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
