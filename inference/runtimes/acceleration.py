"""A torch model made faster as its stage's config asks: autocast, memory order, torch.compile, fixed shapes, graphs."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch

from inference.errors import UnsupportedFormat
from inference.log import get_log
from inference.policy.acceleration import Acceleration, Autocast, has_fixed_shapes
from inference.runtimes.base import TorchRuntime
from inference.runtimes.fixed_shapes import FixedShapes
from inference.runtimes.torch_tensors import TORCH_TYPES
from inference.spec import Signature, TensorSpec

Tensors = dict[str, torch.Tensor]
Run = Callable[[Tensors], Tensors]

TYPES = {Autocast.BF16: torch.bfloat16, Autocast.FP16: torch.float16}
CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
CAST = (torch.nn.Linear, *CONVOLUTIONS)
VARIED_LENGTH = 8  # of axes that vary and have no `lengths`, for what is made up to warm up with


class Accelerated:
    """`runtime` with `asked` applied to its module. Tensors in and out lie on `device`."""

    def __init__(
        self,
        runtime: TorchRuntime,
        signature: Signature,
        asked: Acceleration,
        device: torch.device,
        backend: str = "inductor",  # of torch.compile
    ):
        self.runtime, self.signature, self.asked, self.device = runtime, signature, asked, device
        self.dtype = TYPES.get(asked.autocast)
        self.types = {spec.name: TORCH_TYPES[spec.datatype] for spec in signature.outputs}
        self.graphs: Any = None
        self.shapes = FixedShapes(signature, asked.batch_sizes, asked.lengths) if asked.batch_sizes else None
        fixed = has_fixed_shapes(signature, asked)
        module = runtime.module
        if asked.channels_last:
            module.to(memory_format=torch.channels_last)
        if self.dtype is not None:
            cast_weights(module, self.dtype)
        if asked.compile:
            prepare_compiler(len(list(self.sizes())))
            # Not Module.compile(), which passes over torch's own modules, such as a Sequential, in silence.
            runtime.module = torch.compile(module, dynamic=False if fixed else None, backend=backend)
        if device.type == "cuda":
            # With few shapes the search for the fastest convolution pays; with many it would be made for each.
            torch.backends.cudnn.benchmark = fixed
        if asked.cuda_graphs and device.type == "cuda":
            from inference.runtimes.cuda_graphs import CudaGraphs

            self.graphs = CudaGraphs(self.forward, device)
        elif asked.cuda_graphs:
            get_log().warning("cuda_graphs_left_out", device=str(device), reason="a CPU has none")

    def run(self, inputs: Tensors) -> Tensors:
        forward = self.graphs.replay if self.graphs is not None else self.forward
        if self.shapes is None:
            return forward(inputs)
        filled, own = self.shapes.fill(inputs)
        return self.shapes.cut(forward(filled), own)

    def forward(self, inputs: Tensors) -> Tensors:
        if self.asked.channels_last:
            inputs = {name: in_channels_last(tensor) for name, tensor in inputs.items()}
        if self.dtype is None:
            return self.runtime.run(inputs)
        # No cache of cast weights: it would live for one batch, and a CUDA graph must not depend on it.
        with torch.autocast(self.device.type, dtype=self.dtype, cache_enabled=False):
            outputs = self.runtime.run(inputs)
        # As declared, before anything is added up: a mean over 512 tokens in bfloat16 keeps few of its digits.
        return {name: tensor.to(self.types[name]) for name, tensor in outputs.items()}

    def warm_up(self) -> None:
        """Run, and with CUDA graphs capture, every shape that batches are filled up to, the largest first.

        The largest first, so that what it allocates serves the others too. Raises UnsupportedFormat.
        """
        for rows, length in sorted(self.sizes(), reverse=True):
            inputs = {spec.name: self.make_up(spec, rows, length) for spec in self.signature.inputs}
            if self.graphs is None:
                self.forward(dict(inputs))
                continue
            try:
                self.graphs.capture(inputs)
            except RuntimeError as error:
                raise UnsupportedFormat(
                    f"The model cannot be captured as a CUDA graph ({str(error).splitlines()[0][:200]}). Leave "
                    "cuda_graphs out of its stage's config."
                ) from error

    def sizes(self) -> Iterator[tuple[int, int]]:
        """(rows, length of ragged axes) of every shape that is made ready."""
        for rows in self.asked.batch_sizes:
            for length in self.asked.lengths or (VARIED_LENGTH,):
                yield rows, length

    def make_up(self, spec: TensorSpec, rows: int, length: int) -> torch.Tensor:
        shape = (rows, *(length if size < 0 else size for size in spec.shape[1:]))
        return torch.ones(shape, dtype=TORCH_TYPES[spec.datatype], device=self.device)


def in_channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def cast_weights(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Cast once what autocast would cast with every batch: float32 weights of linear layers and convolutions.

    Answers stay those of autocast to the bit. A weight that some other layer shares, as an embedding that is also the
    last layer, is left alone: there autocast calculates in float32.
    """
    kept = {
        id(weight)
        for layer in module.modules()
        if not isinstance(layer, CAST)
        for weight in layer.parameters(recurse=False)
    }
    for layer in module.modules():
        if isinstance(layer, CAST):
            for weight in layer.parameters(recurse=False):
                if weight.dtype is torch.float32 and id(weight) not in kept:
                    weight.data = weight.data.to(dtype)


def prepare_compiler(shapes: int) -> None:
    """Let the compiler hold all shapes (it stops at eight by itself), and start no pool of processes beside ours."""
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # read once, when the compiler is imported
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(shapes + 1, torch._dynamo.config.recompile_limit)
