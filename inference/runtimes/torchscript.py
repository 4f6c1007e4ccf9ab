"""TorchScript archives. The graph names its inputs and says nothing of their types: the signature must be given.

Loading one runs code of its writer's choosing, and a torch that writes these is going away: only with `native`.
"""

from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from inference.errors import CorruptArtifact, ModelFailed, UnsupportedFormat
from inference.runtimes.archive import check_script
from inference.runtimes.base import Inspection
from inference.runtimes.folder import one_archive
from inference.runtimes.signatures import check_batch_axis, infer_stage
from inference.runtimes.torch_tensors import TORCH_TYPES, check_device
from inference.spec import Format, Signature


class TorchScriptRuntime:
    uses_torch: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ()
    runs_code: ClassVar[bool] = True

    def __init__(self, module: Any, arguments: list[str], signature: Signature):
        self.module, self.arguments = module, arguments
        self.types = {spec.name: TORCH_TYPES[spec.datatype] for spec in signature.inputs}
        self.wanted = [spec.name for spec in signature.outputs]

    @staticmethod
    def inspect(folder: Path, given: Signature | None) -> Inspection:
        module = open_module(one_archive(folder, Format.TORCHSCRIPT))
        arguments = argument_names(module)
        if given is None:
            raise UnsupportedFormat(
                f"TorchScript does not record datatypes and shapes. Its inputs are {', '.join(arguments)}: give a "
                "signature for them and for its outputs, in order (--signature, or a signature.json beside the file)."
            )
        check_batch_axis(given)
        check_arguments(arguments, given)
        parameters = sum(tensor.numel() for tensor in module.state_dict().values())
        return Inspection(given, (infer_stage(given),), parameters)

    @classmethod
    def load(cls, folder: Path, signature: Signature, device: str, threads: int) -> Self:
        target = check_device(device)
        if threads:
            torch.set_num_threads(threads)
        module = open_module(one_archive(folder, Format.TORCHSCRIPT)).to(target)
        arguments = argument_names(module)
        check_arguments(arguments, signature)
        return cls(module, arguments, signature)

    def run(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        given = {name: inputs[name].to(kind) for name, kind in self.types.items()}
        answer = self.module(**given)
        if isinstance(answer, dict):
            if missing := set(self.wanted) - answer.keys():
                raise ModelFailed(f"The model answered without {', '.join(missing)}, which its signature names.")
            return {name: answer[name] for name in self.wanted}
        values = answer if isinstance(answer, (tuple, list)) else (answer,)
        if len(values) != len(self.wanted):
            raise ModelFailed(f"The model answered with {len(values)} tensors; its signature names {len(self.wanted)}.")
        return dict(zip(self.wanted, values, strict=True))


def open_module(path: Path) -> Any:
    check_script(path)
    try:
        return torch.jit.load(path, map_location="cpu").eval()
    except Exception as error:  # torch raises whatever its parser meets
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise CorruptArtifact(f"torch {torch.__version__} cannot load {path.name}: {reason}") from error


def argument_names(module: Any) -> list[str]:
    return [argument.name for argument in module.forward.schema.arguments if argument.name != "self"]


def check_arguments(arguments: list[str], signature: Signature) -> None:
    if unknown := {spec.name for spec in signature.inputs} - set(arguments):
        raise CorruptArtifact(
            f"The model takes no {', '.join(sorted(unknown))}; it takes {', '.join(arguments)}. Name the signature's "
            "inputs like that."
        )
