"""What the device says of itself: a real reading, or none and the reason. Never a zero that nobody measured."""

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import psutil
from msgspec import Struct

from inference.status import Reading


class DeviceReadings(Struct, frozen=True):
    use: Reading  # percent
    memory_used: Reading  # bytes
    memory_total: Reading


class Sampler(Protocol):
    name: str

    def read(self) -> DeviceReadings: ...


def measured(read: Callable[[], float]) -> Reading:
    """Drivers fail in many ways, and a worker must not die of a gauge: whatever is raised becomes the reason."""
    try:
        return Reading(value=float(read()))
    except Exception as error:
        return Reading(value=None, reason=str(error)[:200] or type(error).__name__)


def open_sampler(device: str, threads: int, visible_gpus: str = "") -> Sampler:
    """The sampler of `cpu` or `cuda:k`. Never raises: what cannot be opened is read as null with the reason."""
    if not device.startswith("cuda"):
        return CpuSampler(threads)
    try:
        import pynvml

        pynvml.nvmlInit()
        return NvmlSampler(pynvml, nvml_handle(pynvml, int(device.partition(":")[2] or 0), visible_gpus))
    except Exception as error:
        return NoSampler(device, f"NVML is not usable: {error}"[:200])


class CpuSampler:
    """This worker's use of the cores it may use, and the machine's memory."""

    def __init__(self, threads: int) -> None:
        self.name = cpu_name()
        self.threads = max(threads, 1)
        self.process = psutil.Process()
        self.last = (time.monotonic(), self.spent_s())

    def spent_s(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def use_percent(self) -> float:
        now_s, spent_s = time.monotonic(), self.spent_s()
        (last_s, last_spent_s), self.last = self.last, (now_s, spent_s)
        if now_s - last_s < 0.01:  # the kernel counts in ticks of that size
            raise ValueError("not measured yet: the worker has just started")
        # Above 100 would be the start of torch, whose threads are not the model's.
        return min(100.0 * (spent_s - last_spent_s) / (now_s - last_s) / self.threads, 100.0)

    def read(self) -> DeviceReadings:
        return DeviceReadings(
            measured(self.use_percent),
            measured(lambda: psutil.virtual_memory().used),
            measured(lambda: psutil.virtual_memory().total),
        )


class NvmlSampler:
    """One GPU, or one MIG slice of it, which has memory but no utilisation."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self.nvml = nvml
        self.handle = handle
        name = nvml.nvmlDeviceGetName(handle)
        self.name = name.decode() if isinstance(name, bytes) else str(name)

    def read(self) -> DeviceReadings:
        nvml, handle = self.nvml, self.handle
        return DeviceReadings(
            measured(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            measured(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used),
            measured(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total),
        )


class NoSampler:
    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.nothing = Reading(value=None, reason=reason)

    def read(self) -> DeviceReadings:
        return DeviceReadings(self.nothing, self.nothing, self.nothing)


def nvml_handle(nvml: Any, index: int, visible_gpus: str) -> Any:
    """NVML counts all GPUs of the machine; CUDA only those made visible, by number or UUID."""
    if not visible_gpus:
        return nvml.nvmlDeviceGetHandleByIndex(index)
    chosen = visible_gpus.split(",")[index].strip()
    if chosen.isdigit():
        return nvml.nvmlDeviceGetHandleByIndex(int(chosen))
    return nvml.nvmlDeviceGetHandleByUUID(chosen)


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine() or "cpu"
