"""KServe's Python model server. It has no batching of its own: in a cluster a sidecar does that.

Out of the box it writes three to five log lines a request; all of them are off.
"""

import os

os.environ["KSERVE_LOGLEVEL"] = "WARNING"  # read when kserve is imported

import kserve.logging
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

from bench.peers.servers import models
from bench.peers.servers.settings import Settings

SETTINGS = Settings.from_environment()


class Service(Model):
    """With several workers the server forks after this is made, so the model is loaded at the first request."""

    def __init__(self) -> None:
        super().__init__(SETTINGS.model)
        self.call: models.Call | None = None
        self.ready = True

    async def predict(
        self, payload: InferRequest, headers: dict | None = None, response_headers: dict | None = None
    ) -> InferResponse:
        if self.call is None:
            self.call = models.load(SETTINGS)
        inputs, output = models.SHAPES[SETTINGS.model]
        given = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
        values = self.call(*[given[tensor.name] for tensor in inputs])
        answer = InferOutput(output.name, list(values.shape), output.datatype)
        answer.set_data_from_numpy(values, binary_data=False)
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[answer])


def main() -> None:
    kserve.logging.KSERVE_LOG_CONFIG["loggers"]["uvicorn.access"]["level"] = "WARNING"
    server = ModelServer(
        http_port=SETTINGS.port, enable_grpc=False, workers=SETTINGS.workers, access_log_format=None,
        enable_latency_logging=False,
    )  # fmt: skip
    server.start([Service()])


if __name__ == "__main__":
    main()
