"""Between numpy and torch: datatypes, devices and copies. The one place that knows both sides."""

from collections.abc import Mapping

import numpy as np
import torch

from inference.errors import UnsupportedFormat
from inference.protocol.tensors import NUMPY_KIND

TORCH_TYPES = {
    "BOOL": torch.bool, "UINT8": torch.uint8, "UINT16": torch.uint16, "UINT32": torch.uint32, "UINT64": torch.uint64,
    "INT8": torch.int8, "INT16": torch.int16, "INT32": torch.int32, "INT64": torch.int64, "FP16": torch.float16,
    "BF16": torch.bfloat16, "FP32": torch.float32, "FP64": torch.float64,
}  # fmt: skip
DATATYPES = {kind: name for name, kind in TORCH_TYPES.items()}


def check_device(device: str) -> torch.device:
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UnsupportedFormat(f"The device {device} is not there: torch sees no GPU. Use cpu, or check the driver.")
    return torch.device(device)


def from_numpy(values: np.ndarray, datatype: str) -> torch.Tensor:
    """On the CPU with the datatype's own type. It shares memory with `values` where those are writable."""
    if not values.flags.writeable or not values.flags.c_contiguous:
        values = np.array(values)  # a model may work in place: never on bytes that a client sent
    if datatype == "BF16":
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values).to(TORCH_TYPES[datatype])


def to_torch(values: np.ndarray | torch.Tensor, datatype: str, device: torch.device) -> torch.Tensor:
    """On `device` with the datatype's own type, once whatever runs on its current stream is done."""
    tensor = values if isinstance(values, torch.Tensor) else from_numpy(values, datatype)
    return tensor.to(device, TORCH_TYPES[datatype])


def to_numpy(tensors: Mapping[str, tuple[torch.Tensor, str]]) -> dict[str, np.ndarray]:
    """Name → (tensor, datatype) as numpy arrays of those datatypes; all copies from a GPU share one wait."""
    hosted, waiting = {}, None
    for name, (tensor, datatype) in tensors.items():
        tensor = tensor.detach().to(TORCH_TYPES[datatype])
        if tensor.device.type == "cuda":
            waiting = tensor.device
            pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            tensor = pinned.copy_(tensor, non_blocking=True)
        hosted[name] = (tensor, datatype)
    if waiting is not None:
        torch.cuda.current_stream(waiting).synchronize()
    return {name: host_array(tensor, datatype) for name, (tensor, datatype) in hosted.items()}


def host_array(tensor: torch.Tensor, datatype: str) -> np.ndarray:
    tensor = tensor.contiguous()
    if datatype == "BF16":
        return tensor.view(torch.int16).numpy().view(NUMPY_KIND["BF16"])
    return tensor.numpy()
