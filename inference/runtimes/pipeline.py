"""Pipeline: the consecutive stages of one unit, run in one process on one device.

Tensors stay where they are as long as they can: a model's output on a GPU goes to a processor there when that processor
runs `on_device`, and only what leaves the unit is copied back. A unit without a torch model never imports torch.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from inference.errors import BadDocument, ModelFailed, SwitchyardError, UnsafeArtifact
from inference.log import get_log
from inference.policy.units import check_units, unit_signature, unit_stages
from inference.processors.base import TOKEN_COUNTS, Processor, find_processor
from inference.protocol.tensors import NUMPY_KIND
from inference.runtimes.base import Array, Runtime, get_runtime
from inference.spec import Format, Signature, Stage, StageKind, TensorSpec, Unit, Version

WARM_UP_ROWS = (1, 4)
WARM_UP_LENGTH = 8  # of axes that vary, other than the batch


class Step(Protocol):
    stage: Stage
    warms_up: bool

    def run(self, at_hand: dict[str, Array]) -> dict[str, Array]: ...


class Pipeline:
    """What a worker runs. `inputs` and `outputs` are the unit's, as `policy.units.unit_signature` has them."""

    def __init__(self, signature: Signature, steps: list[Step], samples: dict[str, bytes], uses_torch: bool):
        self.inputs: tuple[TensorSpec, ...] = signature.inputs
        self.outputs: tuple[TensorSpec, ...] = signature.outputs
        self.steps = steps
        self.samples = samples
        self.inference_mode: Callable[[], Any] = contextlib.nullcontext
        self.leave: Callable[[dict[str, Array]], dict[str, np.ndarray]] = self.as_declared
        if uses_torch:
            import torch

            self.inference_mode = torch.inference_mode
            self.leave = self.from_device

    def run(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of the rows in `batch`, and their TOKEN_COUNTS where a tokenizer is among the steps.

        BadRow names the row at fault; the others may be run again without it.
        """
        return self.run_steps(batch, self.steps)

    def warm_up(self) -> None:
        """Run made-up rows, so that no client waits for lazy set-up. Raises ModelFailed where that cannot work."""
        steps = [step for step in self.steps if step.warms_up]
        for rows in WARM_UP_ROWS:
            try:
                self.run_steps({spec.name: self.make_up(spec, rows) for spec in self.inputs}, steps)
            except Exception as error:
                if any(-1 in spec.shape[1:] for spec in self.inputs):
                    # The lengths are guessed: a model may rightly refuse them.
                    get_log().warning("warm_up_skipped", reason=str(error), length=WARM_UP_LENGTH)
                    return
                raise ModelFailed(f"The model cannot run on {rows} made-up row(s): {error}") from error

    def run_steps(self, batch: dict[str, np.ndarray], steps: Iterable[Step]) -> dict[str, np.ndarray]:
        at_hand: dict[str, Array] = dict(batch)
        with self.inference_mode():
            for step in steps:
                at_hand.update(step.run(at_hand))
            outputs = self.leave({spec.name: at_hand[spec.name] for spec in self.outputs})
        if TOKEN_COUNTS in at_hand:
            outputs[TOKEN_COUNTS] = at_hand[TOKEN_COUNTS]
        return outputs

    def make_up(self, spec: TensorSpec, rows: int) -> np.ndarray:
        shape = (rows, *(WARM_UP_LENGTH if size < 0 else size for size in spec.shape[1:]))
        if spec.datatype == "BYTES":
            values = np.empty(shape, dtype=object)
            values.fill(self.samples.get(spec.name, b""))
            return values
        return np.ones(shape, NUMPY_KIND[spec.datatype])

    def as_declared(self, outputs: dict[str, Array]) -> dict[str, np.ndarray]:
        return {spec.name: as_numpy(outputs[spec.name], spec.datatype) for spec in self.outputs}

    def from_device(self, outputs: dict[str, Array]) -> dict[str, np.ndarray]:
        from inference.runtimes.torch_tensors import to_numpy

        on_device = {
            spec.name: (outputs[spec.name], spec.datatype)
            for spec in self.outputs
            if not isinstance(outputs[spec.name], np.ndarray)
        }
        hosted = to_numpy(on_device)
        return {
            spec.name: hosted[spec.name] if spec.name in hosted else as_numpy(outputs[spec.name], spec.datatype)
            for spec in self.outputs
        }


class ModelStep:
    """The `infer` stage. A torch model gets tensors on its device, any other gets numpy arrays."""

    warms_up = True

    def __init__(self, stage: Stage, runtime: Runtime, device: str):
        self.stage, self.runtime = stage, runtime
        self.enter: Callable[[TensorSpec, Array], Array] = enter_numpy
        if runtime.uses_torch:
            from inference.runtimes.torch_tensors import check_device, to_torch

            target = check_device(device)
            self.enter = lambda spec, values: to_torch(values, spec.datatype, target)

    def run(self, at_hand: dict[str, Array]) -> dict[str, Array]:
        inputs = {spec.name: self.enter(spec, at_hand[spec.name]) for spec in self.stage.signature.inputs}
        try:
            return self.runtime.run(inputs)
        except SwitchyardError:
            raise
        except Exception as error:
            # Whatever a model raises is the model's failure. Its first line says enough, and holds no stack.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise ModelFailed(f"The model failed on this batch: {reason}") from error


class ProcessorStep:
    def __init__(self, stage: Stage, processor: Processor):
        self.stage, self.processor, self.warms_up = stage, processor, processor.warms_up

    def run(self, at_hand: dict[str, Array]) -> dict[str, Array]:
        specs = self.stage.signature.inputs
        devices = {at_hand[spec.name].device for spec in specs if not isinstance(at_hand[spec.name], np.ndarray)}
        if devices and self.processor.on_device:
            from inference.runtimes.torch_tensors import to_torch

            device = devices.pop()
            return self.processor.run(
                {spec.name: to_torch(at_hand[spec.name], spec.datatype, device) for spec in specs}
            )
        taken = {spec.name: enter_numpy(spec, at_hand[spec.name]) for spec in specs}
        for spec in specs:
            if spec.datatype == "BF16":  # processors calculate: raw bits would be taken for integers
                taken[spec.name] = widen_bfloat16(taken[spec.name])
        return self.processor.run(taken)


def load_pipeline(version: Version, unit: Unit, folder: Path, device: str, threads: int) -> Pipeline:
    """Load the stages of `unit` from the artifact's `folder`. `threads` 0 leaves the libraries' own choice.

    Raises ArtifactError for files that are wrong, BadDocument for stages that are.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # a folder holds all that it needs, or is refused
    if threads:
        # The tokenizers' thread pool reads this when it starts, with the first batch.
        os.environ["RAYON_NUM_THREADS"] = str(threads)
    check_units(version)
    steps: list[Step] = []
    samples: dict[str, bytes] = {}
    uses_torch = False
    for stage in unit_stages(version, unit):
        if stage.kind is StageKind.INFER and not stage.use:
            runtime = get_runtime(version.format)
            if runtime.runs_code and not version.native:
                raise UnsafeArtifact(
                    f"Loading a {version.format.value} file runs code that is in it, and nobody accepted that for this "
                    "version. Upload it as a user with the right 'native', or convert it to safetensors or ONNX."
                )
            uses_torch = uses_torch or runtime.uses_torch
            steps.append(ModelStep(stage, runtime.load(folder, stage.signature, device, threads), device))
            continue
        if not stage.use:
            raise BadDocument(f"Stage {stage.name!r} ({stage.kind.value}) names no processor. Set its `use`.")
        processor = find_processor(stage.use)
        for spec in stage.signature.inputs:
            if processor.sample:
                samples.setdefault(spec.name, processor.sample)
        steps.append(ProcessorStep(stage, processor(stage, folder)))
    return Pipeline(unit_signature(version, unit), steps, samples, uses_torch)


def preload(format: Format) -> None:
    """Import what loading a model of `format` imports, for a warm spare that knows no version yet."""
    for library in get_runtime(format).libraries:
        import_module(library)


def enter_numpy(spec: TensorSpec, values: Array) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    from inference.runtimes.torch_tensors import to_numpy

    return to_numpy({spec.name: (values, spec.datatype)})[spec.name]


def as_numpy(values: np.ndarray, datatype: str) -> np.ndarray:
    """With the datatype's own kind; a BF16 output that a processor calculated becomes its 16 raw bits."""
    if datatype == "BYTES":
        return values
    if datatype == "BF16" and values.dtype.kind == "f":
        return narrow_bfloat16(values)
    return np.ascontiguousarray(values, dtype=NUMPY_KIND[datatype])


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The float32 values of raw bfloat16 bits: the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow_bfloat16(values: np.ndarray) -> np.ndarray:
    """Raw bfloat16 bits of float values, rounded to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(NUMPY_KIND["BF16"])
