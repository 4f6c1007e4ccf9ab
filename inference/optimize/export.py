"""`python -m inference export --from FOLDER --to FOLDER`: a Hugging Face folder's model as an ONNX graph.

The graph is proven before it is kept: on random batches of uneven lengths it must answer like the original, within
TOLERANCE, at every token that is not padding.
"""

import argparse
import logging
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from inference.errors import ModelFailed, SwitchyardError
from inference.log import configure_log
from inference.runtimes.huggingface import inspect_folder
from inference.runtimes.onnx import OnnxRuntime, check_graph
from inference.runtimes.safetensors import SafetensorsRuntime
from inference.spec import Signature, Stage, StageKind, TensorSpec

TOLERANCE = 1e-4
OPSET = 18
GRAPH = "model.onnx"
MAX_GRAPH_BYTES = 1_500_000_000  # a graph ends at 2 GiB; larger weights lie beside it
CHECKED_BATCHES = ((1, 1), (1, 7), (3, 16), (8, 33), (2, 128))  # rows, longest row
# What a served version keeps of the original folder, besides the graph.
KEPT = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json",
    "modules.json", "sentence_bert_config.json", "1_Pooling/config.json",
)  # fmt: skip


class Report(msgspec.Struct, frozen=True):
    signature: Signature  # of the version, as its stages below make it
    stages: tuple[Stage, ...]
    parameters: int
    max_difference: float
    batches_checked: int


class ByPosition(torch.nn.Module):
    """A module as the exporter wants it: tensors in and out by position. `module` is here for its weights."""

    def __init__(self, module: torch.nn.Module, call: Callable[..., Any]):
        super().__init__()
        self.module, self.call = module, call

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.call(*tensors)


def export_folder(source: Path, target: Path, *, tolerance: float = TOLERANCE) -> Report:
    """Write `target/model.onnx` and what belongs beside it. Raises ModelFailed when its answers differ."""
    inspection = inspect_folder(source, None)
    signature = next(stage.signature for stage in inspection.stages if stage.kind is StageKind.INFER)
    original = SafetensorsRuntime.load(source, signature, "cpu", 0)
    target.mkdir(parents=True, exist_ok=True)
    write_graph(original, signature, target / GRAPH)
    parameters = check_graph(target / GRAPH)
    difference = compare(original, OnnxRuntime.load(target, signature, "cpu", 0), signature)
    if not difference <= tolerance:  # NaN fails too
        (target / GRAPH).unlink()
        raise ModelFailed(
            f"The exported graph differs from the original by {difference:.2e}; {tolerance:.0e} is allowed. "
            "Serve the safetensors version instead."
        )
    for name in KEPT:
        if (source / name).is_file():
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, target / name)
    return Report(inspection.signature, inspection.stages, parameters, difference, len(CHECKED_BATCHES))


def write_graph(original: SafetensorsRuntime, signature: Signature, path: Path) -> None:
    names = [spec.name for spec in signature.inputs]

    def call(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = original.run(dict(zip(names, tensors, strict=True)))
        return tuple(answer[spec.name] for spec in signature.outputs)

    batch = random_batch(signature, 2, 5, np.random.default_rng(0))
    write_onnx(ByPosition(original.module, call), [torch.from_numpy(batch[name]) for name in names], signature, path)


def write_onnx(module: ByPosition, example: list[torch.Tensor], signature: Signature, path: Path) -> None:
    """The graph of `module`; axes of -1 stay free.

    Through torch.export, which proves that they do. Tracing would be quicker and wrong: it takes the attention mask of
    its example for the mask of every batch.
    """
    free = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(spec.shape) if size < 0}
        for spec in signature.inputs
    )
    weights_bytes = sum(tensor.nbytes for tensor in module.state_dict().values())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(example),
            str(path),
            input_names=[spec.name for spec in signature.inputs],
            output_names=[spec.name for spec in signature.outputs],
            dynamic_shapes=(free,),
            opset_version=OPSET,
            dynamo=True,
            external_data=weights_bytes > MAX_GRAPH_BYTES,
            verbose=False,
        )


def export_module(module: torch.nn.Module, taken: TensorSpec, given: TensorSpec, target: Path) -> None:
    """A plain module of one tensor in and one out, as `target/model.onnx`."""
    example = torch.zeros((2, *taken.shape[1:]))
    target.mkdir(parents=True, exist_ok=True)
    write_onnx(ByPosition(module, module), [example], Signature(inputs=(taken,), outputs=(given,)), target / GRAPH)


def compare(original: SafetensorsRuntime, exported: OnnxRuntime, signature: Signature) -> float:
    """The largest difference of any number that both answer with."""
    chance = np.random.default_rng(7)
    largest = 0.0
    for rows, length in CHECKED_BATCHES:
        batch = random_batch(signature, rows, length, chance)
        with torch.inference_mode():
            wanted = original.run({name: torch.from_numpy(values) for name, values in batch.items()})
        found = exported.run(batch)
        for spec in signature.outputs:
            difference = np.abs(wanted[spec.name].float().numpy() - found[spec.name])
            mask = batch.get("attention_mask")
            if mask is not None and spec.ragged_axes == (1,):
                difference = difference[mask != 0]
            largest = max(largest, float(difference.max()))
    return largest


def random_batch(signature: Signature, rows: int, length: int, chance: np.random.Generator) -> dict[str, np.ndarray]:
    """Token ids with masks of uneven lengths, the first row the longest; normal numbers for everything else."""
    lengths = np.array([length, *chance.integers(1, length + 1, rows - 1)])
    mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    batch: dict[str, Any] = {}
    for spec in signature.inputs:
        shape = (rows, *(length if size < 0 else size for size in spec.shape[1:]))
        if spec.name == "attention_mask":
            batch[spec.name] = mask
        elif spec.datatype == "INT64":
            batch[spec.name] = chance.integers(0, 1000, shape)
        else:
            batch[spec.name] = chance.standard_normal(shape).astype(np.float32)
    return batch


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m inference export", description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", required=True, type=Path, help="Hugging Face folder with safetensors")
    parser.add_argument("--to", dest="target", required=True, type=Path, help="folder for the graph; made if need be")
    given = parser.parse_args(arguments)
    configure_log("export")  # to stderr: stdout is the answer, which programs read
    try:
        report = export_folder(given.source, given.target)
    except SwitchyardError as error:
        sys.stdout.write(msgspec.json.encode({"error": {"code": error.code, "message": str(error)}}).decode() + "\n")
        return 1
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return 0
