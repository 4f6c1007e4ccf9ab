"""One CUDA graph for each shape: a batch is one launch instead of one for each kernel, which small models wait for.

All graphs share one pool of memory, which is safe because they run one after another on one stream and none reads what
another left: inputs are copied in, and outputs copied out, on that stream.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

Tensors = dict[str, torch.Tensor]
WARM_UPS = 3  # before a capture: libraries allocate and choose their kernels in the first runs

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class Captured(NamedTuple):
    graph: Any
    inputs: Tensors
    outputs: Tensors


class CudaGraphs:
    """`run` captured once for each shape; a shape that was not captured runs as it would without graphs."""

    def __init__(self, run: Callable[[Tensors], Tensors], device: torch.device):
        self.run = run
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()
        self.captured: dict[Shapes, Captured] = {}

    def capture(self, example: Tensors) -> None:
        """Raises RuntimeError where the model does what a graph cannot, such as a look at a value from the CPU."""
        inputs = {name: tensor.clone() for name, tensor in example.items()}
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UPS):
                self.run(dict(inputs))
        graph = torch.cuda.CUDAGraph()
        # thread_local: a thread that reads a gauge in the meantime does not spoil the capture.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            outputs = self.run(dict(inputs))
        self.captured[shapes_of(inputs)] = Captured(graph, inputs, outputs)

    def replay(self, inputs: Tensors) -> Tensors:
        captured = self.captured.get(shapes_of(inputs))
        if captured is None:
            return self.run(inputs)
        for name, own in captured.inputs.items():
            own.copy_(inputs[name])
        captured.graph.replay()
        # Copies, so that the next batch may run while these are still on their way to the host.
        return {name: tensor.clone() for name, tensor in captured.outputs.items()}


def shapes_of(tensors: Tensors) -> Shapes:
    return tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items())
