"""Runtimes: the code that loads a format and runs it. One file and one line of RUNTIMES a format."""

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from msgspec import Struct

from inference.spec import Format, Signature, Stage

# Imported on first use: an ONNX replica needs no torch.
RUNTIMES = {
    Format.SAFETENSORS: "inference.runtimes.safetensors:SafetensorsRuntime",
    Format.ONNX: "inference.runtimes.onnx:OnnxRuntime",
    Format.PT2: "inference.runtimes.exported:ExportedRuntime",
    Format.TORCHSCRIPT: "inference.runtimes.torchscript:TorchScriptRuntime",
}

Array = Any  # a numpy array or, of runtimes that use torch, a tensor


class Inspection(Struct, frozen=True):
    """What a folder says about its model without serving it."""

    signature: Signature  # of the version: what clients send and get
    stages: tuple[Stage, ...]  # a way to serve it, `infer` alone at least
    parameters: int | None  # count of weights; None where the format does not say
    warnings: tuple[str, ...] = ()


class Runtime(Protocol):
    """A loaded model. Inputs and outputs carry the names of its `infer` stage's signature."""

    uses_torch: ClassVar[bool]  # takes and gives tensors on its device; others take and give numpy arrays
    libraries: ClassVar[tuple[str, ...]]  # what loading imports besides this module, for a warm spare to import early
    runs_code: ClassVar[bool]  # loading the format runs what is in the file: only with the version's `native`

    @staticmethod
    def inspect(folder: Path, given: Signature | None) -> Inspection:
        """Check the folder and derive its signature, or take `given`. Raises ArtifactError, saying what to do."""

    @classmethod
    def load(cls, folder: Path, signature: Signature, device: str, threads: int) -> Self:
        """Ready to run on `device`. Raises ArtifactError when the folder is not what the signature says."""

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]: ...


class TorchRuntime(Runtime, Protocol):
    """One with `uses_torch`."""

    module: Any  # the torch.nn.Module that `run` calls: acceleration casts its weights and compiles it


def get_runtime(format: Format) -> type[Runtime]:
    module, _, name = RUNTIMES[format].partition(":")
    return getattr(import_module(module), name)
