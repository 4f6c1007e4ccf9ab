"""Pipeline: the consecutive stages of one unit, run in one process on one device.

Tensors stay where they are as long as they can: a model's output on a GPU goes to a processor there when that processor
runs `on_device`, and only what leaves the unit is copied back. A unit without a torch model never imports torch.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from inference.errors import BadDocument, ModelFailed, UnsafeArtifact
from inference.log import get_log
from inference.policy.acceleration import Acceleration, is_model, read_acceleration
from inference.policy.units import check_units, unit_signature, unit_stages
from inference.processors.base import TOKEN_COUNTS, find_processor
from inference.protocol.tensors import NUMPY_KIND
from inference.runtimes.base import Array, TorchRuntime, get_runtime
from inference.runtimes.bfloat16 import as_numpy
from inference.runtimes.steps import ModelStep, ProcessorStep, Step
from inference.spec import Format, Signature, TensorSpec, Unit, Version

WARM_UP_ROWS = (1, 4)
WARM_UP_LENGTH = 8  # of axes that vary, other than the batch


class Pipeline:
    """What a worker runs. `inputs` and `outputs` are the unit's, as `policy.units.unit_signature` has them."""

    def __init__(
        self, signature: Signature, steps: list[Step], samples: dict[str, bytes], uses_torch: bool, streams: Any = None
    ):
        self.inputs: tuple[TensorSpec, ...] = signature.inputs
        self.outputs: tuple[TensorSpec, ...] = signature.outputs
        self.steps = steps
        self.samples = samples
        self.streams = streams  # runtimes.streams.Streams of a GPU, else None
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

    def launch(self, batch: dict[str, np.ndarray]) -> "Launched":
        """Start a batch on the GPU. The next may be launched before it is done: its copies run beside this one's
        kernels. `batch` must stay as it is until then. Elsewhere waiting for it is what runs it.
        """
        return InTurn(self, batch) if self.streams is None else self.launch_steps(batch, self.steps)

    def warm_up(self) -> None:
        """Run made-up rows, so that no client waits for lazy set-up. Raises ModelFailed where that cannot work."""
        with self.inference_mode():
            for step in self.steps:
                step.warm_up()
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
        if self.streams is not None:
            return self.launch_steps(batch, steps).wait()
        at_hand: dict[str, Array] = dict(batch)
        with self.inference_mode():
            for step in steps:
                at_hand.update(step.run(at_hand))
            outputs = self.leave({spec.name: at_hand[spec.name] for spec in self.outputs})
        if TOKEN_COUNTS in at_hand:
            outputs[TOKEN_COUNTS] = at_hand[TOKEN_COUNTS]
        return outputs

    def launch_steps(self, batch: dict[str, np.ndarray], steps: Iterable[Step]) -> "Launched":
        at_hand: dict[str, Array] = dict(batch)
        with self.inference_mode(), self.streams.working():
            for step in steps:
                at_hand.update(step.run(at_hand))
            outputs = {spec.name: at_hand[spec.name] for spec in self.outputs}
            on_device = {
                spec.name: (outputs[spec.name], spec.datatype)
                for spec in self.outputs
                if not isinstance(outputs[spec.name], np.ndarray)
            }
            return OnDevice(self, outputs, at_hand.get(TOKEN_COUNTS), self.streams.leave(on_device))

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


class Launched(Protocol):
    """A batch under way."""

    def is_done(self) -> bool:
        """Whether waiting for it takes no time."""

    def wait(self) -> dict[str, np.ndarray]:
        """Its outputs, as `Pipeline.run` has them."""


class OnDevice:
    def __init__(self, pipeline: Pipeline, outputs: dict[str, Array], counts: np.ndarray | None, leaving: Any):
        self.pipeline, self.outputs, self.counts, self.leaving = pipeline, outputs, counts, leaving

    def is_done(self) -> bool:
        return self.leaving.is_done()

    def wait(self) -> dict[str, np.ndarray]:
        found = self.pipeline.as_declared(self.outputs | self.leaving.wait())
        if self.counts is not None:
            found[TOKEN_COUNTS] = self.counts
        return found


class InTurn:
    """Without a device of its own to run on."""

    def __init__(self, pipeline: Pipeline, batch: dict[str, np.ndarray]):
        self.pipeline, self.batch = pipeline, batch

    def is_done(self) -> bool:
        return True

    def wait(self) -> dict[str, np.ndarray]:
        return self.pipeline.run(self.batch)


def load_pipeline(
    version: Version, unit: Unit, folder: Path, device: str, threads: int, turned: Path | None = None
) -> Pipeline:
    """Load the stages of `unit` from the artifact's `folder`. `threads` 0 leaves the libraries' own choice.

    `turned` is a file in which replicas share weights that lie otherwise in memory than in the artifact; without it
    each has its own.

    Raises ArtifactError for files that are wrong, BadDocument for stages that are.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # a folder holds all that it needs, or is refused
    if threads:
        # The tokenizers' thread pool reads this when it starts, with the first batch.
        os.environ["RAYON_NUM_THREADS"] = str(threads)
    check_units(version)
    steps: list[Step] = []
    samples: dict[str, bytes] = {}
    uses_torch, streams = False, None
    for stage in unit_stages(version, unit):
        if is_model(stage):
            asked = read_acceleration(stage, version.format, unit.batch.max_size)
            runtime = get_runtime(version.format)
            if runtime.runs_code and not version.native:
                raise UnsafeArtifact(
                    f"Loading a {version.format.value} file runs code that is in it, and nobody accepted that for this "
                    "version. Upload it as a user with the right 'native', or convert it to safetensors or ONNX."
                )
            uses_torch = uses_torch or runtime.uses_torch
            loaded = runtime.load(folder, stage.signature, device, threads)
            if turned is not None and runtime.uses_torch and device == "cpu" and asked == Acceleration():
                from inference.runtimes.weight_layout import share_weights

                share_weights(cast("TorchRuntime", loaded).module, turned)
            if streams is None and runtime.uses_torch and device.startswith("cuda"):
                streams = open_streams(device)
            steps.append(ModelStep(stage, loaded, device, asked, streams))
            continue
        if not stage.use:
            raise BadDocument(f"Stage {stage.name!r} ({stage.kind.value}) names no processor. Set its `use`.")
        processor = find_processor(stage.use)
        for spec in stage.signature.inputs:
            if processor.sample:
                samples.setdefault(spec.name, processor.sample)
        steps.append(ProcessorStep(stage, processor(stage, folder), streams))
    return Pipeline(unit_signature(version, unit), steps, samples, uses_torch, streams)


def open_streams(device: str) -> Any:
    from inference.runtimes.streams import Streams
    from inference.runtimes.torch_tensors import check_device

    return Streams(check_device(device))


def preload(format: Format) -> None:
    """Import what loading a model of `format` imports, for a warm spare that knows no version yet."""
    for library in get_runtime(format).libraries:
        import_module(library)
