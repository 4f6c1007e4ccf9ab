"""Ray Serve: HTTP proxy and replicas, @serve.batch without a wait, the model called in the replica's own loop.

Calling it in a thread was slower. Replicas ask for a tenth of a core, or proxy and replicas would not fit on two.
"""

import os
import signal
import threading
from typing import Any

import numpy as np
import orjson
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from bench.peers.servers.settings import Settings

SETTINGS = Settings.from_environment()
QUIET = {"enable_access_log": False, "log_level": "ERROR"}


@serve.deployment(
    num_replicas=SETTINGS.workers,
    max_ongoing_requests=256,
    ray_actor_options={"num_cpus": 0.1},
    logging_config=QUIET,
)
class Service:
    def __init__(self) -> None:
        from bench.peers.servers import models, oip

        self.models, self.oip = models, oip
        self.call = models.load(SETTINGS)

    @serve.batch(max_batch_size=SETTINGS.max_batch, batch_wait_timeout_s=SETTINGS.wait_ms / 1000)
    async def infer(self, requests: list[list[np.ndarray]]) -> list[np.ndarray]:
        return self.models.batched(self.call, requests)

    async def __call__(self, request: Request) -> Response:
        body: dict[str, Any] = orjson.loads(await request.body())
        values = await self.infer(self.oip.arrays(SETTINGS.model, body))
        answer = self.oip.answer(SETTINGS.model, body.get("id", ""), values)
        return Response(orjson.dumps(answer), media_type="application/json")


def main() -> None:
    os.environ |= {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    stop = threading.Event()
    ray.init(
        num_cpus=4, include_dashboard=False, logging_level="ERROR", object_store_memory=200_000_000,
        _node_ip_address="127.0.0.1", _temp_dir=str(SETTINGS.scratch("ray")),
    )  # fmt: skip
    # Ray's start-up sets its own handlers.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    serve.start(http_options={"host": "127.0.0.1", "port": SETTINGS.port}, logging_config=QUIET)
    serve.run(Service.bind(), route_prefix=f"/{SETTINGS.model}", name=SETTINGS.model)
    stop.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
