"""LitServe: one API process, workers over ZeroMQ (`fast_queue`). Batches make a tiny model slower."""

from typing import Any

import litserve
import numpy as np

from bench.peers.servers import models, oip
from bench.peers.servers.settings import Settings

SETTINGS = Settings.from_environment()


class Single(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.call = models.load(SETTINGS)

    def decode_request(self, request: dict[str, Any]) -> tuple[str, list[np.ndarray]]:
        return request.get("id", ""), oip.arrays(SETTINGS.model, request)

    def predict(self, data: Any) -> Any:
        name, arrays = data
        return name, self.call(*arrays)

    def encode_response(self, output: tuple[str, np.ndarray]) -> dict[str, Any]:
        return oip.answer(SETTINGS.model, *output)


class Batched(Single):
    def batch(self, inputs: list[tuple[str, list[np.ndarray]]]) -> Any:
        return inputs

    def predict(self, data: Any) -> Any:
        answers = models.batched(self.call, [arrays for _, arrays in data])
        return [(name, values) for (name, _), values in zip(data, answers, strict=True)]

    def unbatch(self, output: Any) -> Any:
        return output


def main() -> None:
    api = (Batched if SETTINGS.max_batch > 1 else Single)(
        max_batch_size=SETTINGS.max_batch, batch_timeout=SETTINGS.wait_ms / 1000, api_path=f"/{SETTINGS.model}"
    )
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=SETTINGS.workers, timeout=60, fast_queue=True
    )
    server.run(host="127.0.0.1", port=SETTINGS.port, num_api_servers=1, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
