"""A reading is measured, or it is null and says why."""

from types import SimpleNamespace

import psutil
import pytest

from inference.worker.device import NvmlSampler, measured, nvml_handle, open_sampler


def not_supported(handle: object) -> None:
    raise RuntimeError("Not Supported")


# NVML as a MIG slice shows itself: memory, but no utilisation.
MIG = SimpleNamespace(
    nvmlDeviceGetName=lambda handle: b"NVIDIA H100 MIG 1g.10gb",
    nvmlDeviceGetUtilizationRates=not_supported,
    nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=3_000, total=10_000),
    nvmlDeviceGetHandleByIndex=lambda index: f"index {index}",
    nvmlDeviceGetHandleByUUID=lambda uuid: f"uuid {uuid}",
)


def test_a_cpu_reading_is_of_this_process_and_this_machine() -> None:
    sampler = open_sampler("cpu", threads=1)
    spent = psutil.Process().cpu_times()
    while psutil.Process().cpu_times().user < spent.user + 0.1:
        sum(range(10_000))
    readings = sampler.read()
    assert 5 < readings.use.value <= 100
    assert readings.memory_total.value == psutil.virtual_memory().total
    assert 0 < readings.memory_used.value < readings.memory_total.value
    assert sampler.name


def test_a_cpu_reading_over_no_time_is_null_with_the_reason() -> None:
    use = open_sampler("cpu", threads=1).read().use
    assert use.value is None
    assert "just started" in use.reason


def test_a_machine_without_nvml_says_so_instead_of_zero() -> None:
    sampler = open_sampler("cuda:99", threads=1)
    readings = sampler.read()
    assert (readings.use.value, readings.memory_used.value, readings.memory_total.value) == (None, None, None)
    assert "NVML" in readings.use.reason


def test_a_mig_slice_has_memory_but_no_utilisation() -> None:
    sampler = NvmlSampler(MIG, "handle")
    readings = sampler.read()
    assert sampler.name == "NVIDIA H100 MIG 1g.10gb"
    assert (readings.use.value, readings.use.reason) == (None, "Not Supported")
    assert (readings.memory_used.value, readings.memory_total.value) == (3_000, 10_000)


@pytest.mark.parametrize(
    "visible, index, handle",
    [
        ("", 1, "index 1"),
        ("2,3", 1, "index 3"),
        ("GPU-aa, GPU-bb", 1, "uuid GPU-bb"),
        ("MIG-cc", 0, "uuid MIG-cc"),
    ],
)
def test_cuda_k_is_the_gpu_that_cuda_means(visible: str, index: int, handle: str) -> None:
    assert nvml_handle(MIG, index, visible) == handle


def test_a_gauge_that_breaks_is_a_reason_and_no_crash() -> None:
    reading = measured(lambda: 1 / 0)
    assert (reading.value, reading.reason) == (None, "division by zero")
