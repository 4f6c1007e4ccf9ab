"""mosec: Rust in front, our decode and encode in the Python worker, as its documentation shows.

A batch is sent when it is full or its wait is over, even to a worker that idles, and a wait of 0 means 10 ms. So the
best batch size follows the number of clients; `no batching` is the best for one.
"""

import sys
from typing import Any

import msgspec
import numpy as np
from mosec import Runtime, Server, Worker

from bench.peers.servers import models
from bench.peers.servers.oip import answer
from bench.peers.servers.settings import Settings


class Input(msgspec.Struct):
    name: str
    shape: list[int]
    data: msgspec.Raw


class Request(msgspec.Struct):
    inputs: list[Input]
    id: str = ""


DECODER = msgspec.json.Decoder(Request)
NUMBERS = {"FP32": msgspec.json.Decoder(list[float]), "INT64": msgspec.json.Decoder(list[int])}
ENCODER = msgspec.json.Encoder()


class Single(Worker):
    """Takes one request at a time: mosec hands over a list only when it batches."""

    def __init__(self) -> None:
        super().__init__()
        settings = Settings.from_environment()
        self.model = settings.model
        self.inputs = models.SHAPES[self.model][0]
        self.call = models.load(settings)

    def deserialize(self, data: bytes) -> tuple[str, list[np.ndarray]]:
        request = DECODER.decode(data)
        given = {tensor.name: tensor for tensor in request.inputs}
        return request.id, [
            np.array(NUMBERS[wanted.datatype].decode(given[wanted.name].data), wanted.kind).reshape(
                given[wanted.name].shape
            )
            for wanted in self.inputs
        ]

    def serialize(self, data: tuple[str, np.ndarray]) -> bytes:
        return ENCODER.encode(answer(self.model, *data))

    def forward(self, data: Any) -> Any:
        name, arrays = data
        return name, self.call(*arrays)


class Batched(Single):
    def forward(self, data: Any) -> Any:
        answers = models.batched(self.call, [arrays for _, arrays in data])
        return [(name, values) for (name, _), values in zip(data, answers, strict=True)]


def main() -> None:
    settings = Settings.from_environment()
    sys.argv += ["--address", "127.0.0.1", "--port", str(settings.port), "--log-level", "warning"]
    if settings.max_batch == 1:
        runtime = Runtime(Single, num=settings.workers, timeout=30)
    else:
        wait_ms = int(settings.wait_ms)
        runtime = Runtime(
            Batched, num=settings.workers, max_batch_size=settings.max_batch, max_wait_time=wait_ms, timeout=30
        )
    server = Server()
    server.register_runtime({f"/{settings.model}": [runtime]})
    server.run()


if __name__ == "__main__":
    main()
