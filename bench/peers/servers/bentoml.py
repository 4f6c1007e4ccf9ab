"""BentoML: adaptive batching, access log, metrics and traces off.

`wait_ms` is its `max_latency_ms`: what would take longer is refused with 503, so it has to be generous. A batchable
endpoint takes a list, hence the body `{"requests": [...]}`.
"""

import os
import sys
from pathlib import Path
from typing import Any

import bentoml

from bench.peers.servers import models, oip
from bench.peers.servers.settings import Settings

SETTINGS = Settings.from_environment()


@bentoml.service(
    name=f"bench-{SETTINGS.model}",
    workers=SETTINGS.workers,
    traffic={"timeout": 60, "max_concurrency": 1000},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Service:
    def __init__(self) -> None:
        self.call = models.load(SETTINGS)

    @bentoml.api(batchable=True, max_batch_size=SETTINGS.max_batch, max_latency_ms=int(SETTINGS.wait_ms))
    def infer(self, requests: list[dict]) -> list[dict]:
        answers = models.batched(self.call, [oip.arrays(SETTINGS.model, request) for request in requests])
        return [
            oip.answer(SETTINGS.model, request.get("id", ""), values)
            for request, values in zip(requests, answers, strict=True)
        ]


def main() -> None:
    root: Any = Path(__file__).resolve().parents[3]
    command = [
        str(Path(sys.executable).with_name("bentoml")), "serve", "bench.peers.servers.bentoml:Service",
        "--host", "127.0.0.1", "--port", str(SETTINGS.port), "--working-dir", str(root),
    ]  # fmt: skip
    environment = os.environ | {"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(SETTINGS.scratch("bentoml"))}
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
