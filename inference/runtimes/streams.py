"""Three CUDA streams of a replica: batches go in, are worked on and come out, each beside the others.

    copy in     H2D of batch k+1, from page-locked memory that it was collated into
    work        kernels of batch k, once its inputs are there
    copy out    D2H of batch k-1, into page-locked memory, once its outputs are

Nothing here waits on the CPU but `Leaving.wait`, so the next batch is launched while this one runs. Memory is safe by
two rules of torch's allocator: a tensor used on a stream other than its own is recorded there, and what was freed is
handed out again only in the order of its stream.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from inference.runtimes.torch_tensors import TORCH_TYPES, from_numpy, host_array


class Streams:
    """`cuda` is `torch.cuda`."""

    def __init__(self, device: torch.device, cuda: Any = torch.cuda):
        self.device, self.cuda = device, cuda
        cuda.set_device(device)  # a worker has one: what is not said to be elsewhere belongs there
        self.copy_in, self.work, self.copy_out = (cuda.Stream(device) for _ in range(3))

    def working(self) -> Any:
        """A context: what is launched in it runs on `work`."""
        return self.cuda.stream(self.work)

    def enter(self, values: np.ndarray, datatype: str) -> torch.Tensor:
        """`values` on the device. They must stay as they are until the batch's outputs have been waited for."""
        host = from_numpy(values, datatype).pin_memory()  # free of charge for what was collated into such memory
        with self.cuda.stream(self.copy_in):
            tensor = host.to(self.device, non_blocking=True)
        self.work.wait_stream(self.copy_in)
        tensor.record_stream(self.work)
        return tensor

    def leave(self, tensors: Mapping[str, tuple[torch.Tensor, str]]) -> "Leaving":
        """Start copying (tensor, datatype) by name to the host. To be called in `working`."""
        self.copy_out.wait_stream(self.work)
        hosted = {}
        with self.cuda.stream(self.copy_out):
            for name, (tensor, datatype) in tensors.items():
                tensor.record_stream(self.copy_out)
                typed = tensor.detach().to(TORCH_TYPES[datatype]).contiguous()
                host = torch.empty(typed.shape, dtype=typed.dtype, pin_memory=True)
                hosted[name] = (host.copy_(typed, non_blocking=True), datatype)
            # blocking: sleep until it is done. Spinning would take a core from the gateway beside us.
            done = self.cuda.Event(blocking=True)
            done.record(self.copy_out)
        return Leaving(hosted, done)


class Leaving:
    """Outputs on their way to the host."""

    def __init__(self, hosted: dict[str, tuple[torch.Tensor, str]], done: Any):
        self.hosted, self.done = hosted, done

    def is_done(self) -> bool:
        return self.done.query()

    def wait(self) -> dict[str, np.ndarray]:
        self.done.synchronize()
        return {name: host_array(tensor, datatype) for name, (tensor, datatype) in self.hosted.items()}
