"""The steps of a pipeline: the model, and the processors around it. Each takes tensors at hand and adds some."""

from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np

from inference.errors import ModelFailed, SwitchyardError
from inference.policy.acceleration import Acceleration
from inference.processors.base import Processor
from inference.runtimes.base import Array, Runtime, TorchRuntime
from inference.runtimes.bfloat16 import widen_bfloat16
from inference.spec import Stage, TensorSpec


class Step(Protocol):
    stage: Stage
    warms_up: bool

    def warm_up(self) -> None: ...

    def run(self, at_hand: dict[str, Array]) -> dict[str, Array]: ...


class ModelStep:
    """The `infer` stage. A torch model gets tensors on its device, any other gets numpy arrays."""

    warms_up = True

    def __init__(self, stage: Stage, runtime: Runtime, device: str, asked: Acceleration, streams: Any = None):
        self.stage, self.call = stage, runtime.run
        self.enter: Callable[[TensorSpec, Array], Array] = enter_numpy
        self.make_ready: Callable[[], None] | None = None
        if runtime.uses_torch:
            from inference.runtimes.torch_tensors import check_device, to_torch

            target = check_device(device)

            def enter(spec: TensorSpec, values: Array) -> Array:
                if streams is not None and isinstance(values, np.ndarray):
                    return streams.enter(values, spec.datatype)
                return to_torch(values, spec.datatype, target)

            self.enter = enter
            if asked != Acceleration():
                from inference.runtimes.acceleration import Accelerated

                accelerated = Accelerated(cast("TorchRuntime", runtime), stage.signature, asked, target)
                self.call, self.make_ready = accelerated.run, accelerated.warm_up

    def warm_up(self) -> None:
        if self.make_ready is None:
            return
        try:
            self.make_ready()
        except SwitchyardError:
            raise
        except Exception as error:  # compilers and models raise whatever they like
            raise ModelFailed(
                f"The model cannot run as the config of stage {self.stage.name!r} asks ({first_line(error)}). Take out "
                "what it names."
            ) from error

    def run(self, at_hand: dict[str, Array]) -> dict[str, Array]:
        inputs = {spec.name: self.enter(spec, at_hand[spec.name]) for spec in self.stage.signature.inputs}
        try:
            return self.call(inputs)
        except SwitchyardError:
            raise
        except Exception as error:
            # Whatever a model raises is the model's failure. Its first line says enough, and holds no stack.
            raise ModelFailed(f"The model failed on this batch: {first_line(error)}") from error


class ProcessorStep:
    def __init__(self, stage: Stage, processor: Processor, streams: Any = None):
        self.stage, self.processor, self.warms_up = stage, processor, processor.warms_up
        self.streams = streams  # of the GPU that a model before it runs on

    def warm_up(self) -> None:
        """Nothing of its own: it warms up with the batches that the whole pipeline is given."""

    def run(self, at_hand: dict[str, Array]) -> dict[str, Array]:
        specs = self.stage.signature.inputs
        devices = {at_hand[spec.name].device for spec in specs if not isinstance(at_hand[spec.name], np.ndarray)}
        if devices and self.processor.on_device:
            from inference.runtimes.torch_tensors import to_torch

            device, streams = devices.pop(), self.streams

            def enter(spec: TensorSpec) -> Array:
                values = at_hand[spec.name]
                if streams is not None and isinstance(values, np.ndarray):
                    return streams.enter(values, spec.datatype)  # an ordinary copy would wait for the model to end
                return to_torch(values, spec.datatype, device)

            return self.processor.run({spec.name: enter(spec) for spec in specs})
        taken = {spec.name: enter_numpy(spec, at_hand[spec.name]) for spec in specs}
        for spec in specs:
            if spec.datatype == "BF16":  # processors calculate: raw bits would be taken for integers
                taken[spec.name] = widen_bfloat16(taken[spec.name])
        return self.processor.run(taken)


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def enter_numpy(spec: TensorSpec, values: Array) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    from inference.runtimes.torch_tensors import to_numpy

    return to_numpy({spec.name: (values, spec.datatype)})[spec.name]
