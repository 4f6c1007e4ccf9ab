"""NVIDIA Triton: the tritonserver binary of nvidia-pytriton with its python backend, PyTriton itself left out.

PyTriton's own `bind` is five to seven times slower than this on a small model: it hands every request to a second
process over ZeroMQ. Only the python backend is in the wheel.

The backend's stub runs whatever libpython the system's loader finds and takes neither PYTHONPATH nor our environment's
packages, so the environment must be made with that same Python, and the model file extends sys.path itself.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from bench.peers.servers.settings import Settings

HTTP_THREADS = 8
CACHE_BYTES = 64 * 1024 * 1024
TYPES = {"FP32": "TYPE_FP32", "INT64": "TYPE_INT64"}
MODEL_FILE = """import sys
sys.path[:0] = {paths!r}
from bench.peers.servers.triton import TritonPythonModel
"""


class TritonPythonModel:
    def initialize(self, _: dict[str, str]) -> None:
        from bench.peers.servers import models

        settings = Settings.from_environment()
        self.inputs, self.output = models.SHAPES[settings.model]
        self.call, self.batched = models.load(settings), models.batched

    def execute(self, requests: list[Any]) -> list[Any]:
        import triton_python_backend_utils as backend

        taken = [
            [backend.get_input_tensor_by_name(request, tensor.name).as_numpy() for tensor in self.inputs]
            for request in requests
        ]
        return [
            backend.InferenceResponse([backend.Tensor(self.output.name, values)])
            for values in self.batched(self.call, taken)
        ]


def configuration(settings: Settings) -> str:
    """config.pbtxt: batches of what waits when an instance is free, no delay."""
    from bench.peers.servers.models import SHAPES

    def tensors(found: Any) -> str:
        return ", ".join(f'{{name: "{t.name}", data_type: {TYPES[t.datatype]}, dims: [{t.size}]}}' for t in found)

    inputs, output = SHAPES[settings.model]
    lines = [
        f'name: "{settings.model}"',
        'backend: "python"',
        f"max_batch_size: {settings.max_batch}",
        f"input [{tensors(inputs)}]",
        f"output [{tensors([output])}]",
        f"instance_group [{{kind: KIND_CPU, count: {settings.workers}}}]",
        f"dynamic_batching {{max_queue_delay_microseconds: {int(settings.wait_ms * 1000)}}}",
    ]
    if settings.work == "cache":
        lines.append("response_cache {enable: true}")
    return "\n".join(lines) + "\n"


def write_repository(settings: Settings, site: Path) -> Path:
    repository = settings.scratch("repository")
    version = settings.scratch(f"repository/{settings.model}/1")
    root = Path(__file__).resolve().parents[3]
    (version / "model.py").write_text(MODEL_FILE.format(paths=[str(root), str(site)]))
    (version.parent / "config.pbtxt").write_text(configuration(settings))
    return repository


def grpc_flags(port: int) -> list[str]:
    return [f"--grpc-port={port}", "--grpc-address=127.0.0.1"] if port else ["--allow-grpc=false"]


def main() -> None:
    settings = Settings.from_environment()
    site = Path(sysconfig.get_paths()["purelib"])
    server = site / "pytriton" / "tritonserver"
    backends = settings.scratch("backends")
    shutil.copytree(server / "backends" / "python", backends / "python", dirs_exist_ok=True)
    stub = f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
    shutil.copy2(server / stub, backends / "python")
    command = [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={write_repository(settings, site)}",
        f"--backend-directory={backends}",
        "--http-address=127.0.0.1", f"--http-port={settings.port}", f"--http-thread-count={HTTP_THREADS}",
        *grpc_flags(settings.grpc_port), "--allow-metrics=false", "--disable-auto-complete-config",
        f"--cache-directory={server / 'caches'}", f"--cache-config=local,size={CACHE_BYTES}",
    ]  # fmt: skip
    environment = os.environ | {"LD_LIBRARY_PATH": str(site / "nvidia_pytriton.libs")}
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
