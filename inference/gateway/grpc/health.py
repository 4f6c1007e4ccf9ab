"""`grpc.health.v1.Health`, by which load balancers and Kubernetes ask; it needs no key, as health over HTTP."""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb

from inference.gateway.dataplane import Dataplane
from inference.gateway.grpc.caller import Context

HEALTH = "grpc.health.v1.Health"
LOOK_S = 0.5


class Health(grpc.GenericRpcHandler):
    """`services` are those that may be asked for by name; the empty name means the server."""

    def __init__(self, dataplane: Dataplane, services: tuple[str, ...]):
        self.dataplane = dataplane
        self.services = ("", *services)
        self.handlers = {
            f"/{HEALTH}/Check": grpc.unary_unary_rpc_method_handler(
                self.check, pb.HealthCheckRequest.FromString, pb.HealthCheckResponse.SerializeToString
            ),
            f"/{HEALTH}/Watch": grpc.unary_stream_rpc_method_handler(
                self.watch, pb.HealthCheckRequest.FromString, pb.HealthCheckResponse.SerializeToString
            ),
        }

    def service(self, details: Any) -> Any:
        return self.handlers.get(details.method)

    def status(self) -> int:
        serving = pb.HealthCheckResponse.SERVING if self.dataplane.ready else pb.HealthCheckResponse.NOT_SERVING
        return int(serving)

    async def check(self, asked: Any, context: Context) -> Any:
        if asked.service not in self.services:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details(f"There is no service {asked.service[:80]!r} here.")
        return pb.HealthCheckResponse(status=self.status())

    async def watch(self, asked: Any, context: Context) -> None:
        """Tell each change, until the client hangs up or the gateway has told that it ends."""
        known = asked.service in self.services
        told = -1
        while True:
            ends = self.dataplane.draining  # asked first: it may begin while we tell what was before it
            status = self.status() if known else int(pb.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                await context.write(pb.HealthCheckResponse(status=status))
                told = status
            if ends:
                return
            await asyncio.sleep(LOOK_S)
