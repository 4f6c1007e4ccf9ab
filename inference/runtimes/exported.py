"""Programs saved by `torch.export` (.pt2). Loading one runs code of its writer's choosing: only with `native`."""

import tempfile
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch.utils import _pytree as pytree

from inference.errors import CorruptArtifact, UnsupportedFormat
from inference.runtimes.archive import check_exported, drop_samples
from inference.runtimes.base import Inspection
from inference.runtimes.folder import one_archive
from inference.runtimes.signatures import check_batch_axis, infer_stage, mark_ragged
from inference.runtimes.torch_tensors import DATATYPES, TORCH_TYPES, check_device
from inference.spec import Format, Signature, TensorSpec


class ExportedRuntime:
    uses_torch: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ()
    runs_code: ClassVar[bool] = True

    def __init__(self, program: Any, signature: Signature, device: torch.device):
        self.module = program.module().to(device)
        self.in_spec = program.call_spec.in_spec
        self.outputs = output_names(program)
        self.wanted = [spec.name for spec in signature.outputs]
        self.types = {spec.name: TORCH_TYPES[spec.datatype] for spec in signature.inputs}
        self.inputs = list(program.graph_signature.user_inputs)

    @staticmethod
    def inspect(folder: Path, given: Signature | None) -> Inspection:
        program = open_program(one_archive(folder, Format.PT2))
        signature = given or signature_of(program)
        check_batch_axis(signature)
        parameters = sum(tensor.numel() for tensor in program.state_dict.values())
        return Inspection(signature, (infer_stage(signature),), parameters)

    @classmethod
    def load(cls, folder: Path, signature: Signature, device: str, threads: int) -> Self:
        target = check_device(device)
        if threads:
            torch.set_num_threads(threads)
        program = open_program(one_archive(folder, Format.PT2))
        runtime = cls(program, signature, target)
        for what, has, wants in (
            ("input", runtime.inputs, {spec.name for spec in signature.inputs}),
            ("output", runtime.outputs, set(runtime.wanted)),
        ):
            if missing := wants - set(has):
                raise CorruptArtifact(
                    f"The program has no {what} {', '.join(missing)}; it has {', '.join(has)}. Give the version the "
                    "signature that inspect prints."
                )
        return runtime

    def run(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        leaves = [inputs[name].to(self.types[name]) for name in self.inputs]
        args, kwargs = pytree.tree_unflatten(leaves, self.in_spec)
        answer = dict(zip(self.outputs, pytree.tree_leaves(self.module(*args, **kwargs)), strict=True))
        return {name: answer[name] for name in self.wanted}


def open_program(path: Path) -> Any:
    """Load the program; sample inputs, which torch would unpickle, are left out on the way."""
    with tempfile.TemporaryDirectory() as scratch:
        if check_exported(path):
            cleaned = Path(scratch, path.name)
            drop_samples(path, cleaned)
            path = cleaned
        try:
            return torch.export.load(path)
        except Exception as error:  # torch raises whatever its parser meets
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise CorruptArtifact(f"torch {torch.__version__} cannot load {path.name}: {reason}") from error


def signature_of(program: Any) -> Signature:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs = [tensor_spec(name, values[name], "input") for name in program.graph_signature.user_inputs]
    named = zip(output_names(program), program.graph_signature.user_outputs, strict=True)
    outputs = [tensor_spec(name, values.get(node), "output") for name, node in named]
    return mark_ragged(Signature(inputs=tuple(inputs), outputs=tuple(outputs)))


def output_names(program: Any) -> list[str]:
    """The keys of a dictionary; otherwise output_0, output_1, … in order."""
    spec = program.call_spec.out_spec
    if spec.type is dict and all(child.is_leaf() for child in spec.children()):
        return [str(key) for key in spec.context]
    return [f"output_{index}" for index in range(len(program.graph_signature.user_outputs))]


def tensor_spec(name: str, value: Any, what: str) -> TensorSpec:
    if not isinstance(value, torch.Tensor):
        raise UnsupportedFormat(
            f"The program's {what} {name!r} is no tensor. Export a forward() that takes and returns tensors only."
        )
    datatype = DATATYPES.get(value.dtype)
    if datatype is None:
        raise UnsupportedFormat(f"The program's {what} {name!r} is {value.dtype}, which no client can send or read.")
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return TensorSpec(name=name, datatype=datatype, shape=shape)
