"""Seldon MLServer: the tiny model in the server's own process (workers 0) is its fastest, batches off.

Version 1.7.1 crash-loops with uvloop 0.22 and later as soon as it has workers, which is its default.
"""

import json
import os
import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.peers.servers import models
from bench.peers.servers.settings import Settings


class Model(MLModel):
    async def load(self) -> bool:
        settings = Settings.from_environment()
        self.inputs, self.output = models.SHAPES[settings.model]
        self.call = models.load(settings)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        given = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        values = self.call(*[given[tensor.name] for tensor in self.inputs])
        output = NumpyCodec.encode_output(self.output.name, values)
        return InferenceResponse(id=payload.id, model_name=self.name, model_version="1", outputs=[output])


def main() -> None:
    settings = Settings.from_environment()
    server = {
        "host": "127.0.0.1", "http_port": settings.port, "grpc_port": 0, "metrics_endpoint": None,
        "parallel_workers": settings.workers, "debug": False, "gzip_enabled": False,
    }  # fmt: skip
    model = {
        "name": settings.model,
        "implementation": "bench.peers.servers.mlserver.Model",
        "max_batch_size": settings.max_batch if settings.max_batch > 1 else 0,
        "max_batch_time": settings.wait_ms / 1000,
    }
    repository = settings.scratch("repository")
    (repository / "settings.json").write_text(json.dumps(server))
    (settings.scratch(f"repository/{settings.model}") / "model-settings.json").write_text(json.dumps(model))
    command = [str(Path(sys.executable).with_name("mlserver")), "start", str(repository)]
    os.execve(command[0], command, os.environ | {"MLSERVER_PATH": str(repository)})


if __name__ == "__main__":
    main()
