"""The gRPC edge of one process: the listening socket and its limits, the ordered end. It runs on the gateway's loop."""

from time import monotonic

import grpc
import grpc.aio

from inference.config import Config
from inference.gateway.certificates import EdgeCertificate
from inference.gateway.dataplane import Dataplane
from inference.gateway.grpc.extensions import Extensions
from inference.gateway.grpc.health import HEALTH, Health
from inference.gateway.grpc.service import SERVICE, Service
from inference.gateway.grpc.tls import credentials_of
from inference.protocol.proto import open_inference_pb2 as pb

CALLS_OF_CONNECTION = 1024  # at once; a client's further calls wait at the client
LARGE_FRAME_BYTES = 1024 * 1024  # a picture in one frame instead of 37 of HTTP/2's default size: a quarter less to do
PING_S = 60.0  # a connection that does not answer is half open, and closed
PONG_S = 20.0
CLIENT_PING_S = 10.0  # a client that pings more often than this is told to calm down


def options_of(config: Config, reuse_port: bool) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_receive_message_length", config.max_body_bytes),  # after inflation too
        ("grpc.max_send_message_length", -1),
        ("grpc.http2.max_frame_size", LARGE_FRAME_BYTES),
        ("grpc.http2.lookahead_bytes", LARGE_FRAME_BYTES),
        ("grpc.max_metadata_size", config.max_header_bytes),
        ("grpc.absolute_max_metadata_size", config.max_header_bytes),
        ("grpc.max_concurrent_streams", CALLS_OF_CONNECTION),
        ("grpc.max_allowed_incoming_connections", config.max_connections),
        ("grpc.server_handshake_timeout_ms", int(config.header_timeout_s * 1e3)),
        ("grpc.max_connection_idle_ms", int(config.idle_timeout_s * 1e3)),
        ("grpc.keepalive_time_ms", int(PING_S * 1e3)),
        ("grpc.keepalive_timeout_ms", int(PONG_S * 1e3)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", int(CLIENT_PING_S * 1e3)),
    ]


def add_reflection(server: grpc.aio.Server) -> None:
    """Let whoever reaches the port ask which calls there are (grpcurl does). The messages have a pool of their own."""
    from grpc_health.v1 import health_pb2
    from grpc_reflection.v1alpha import reflection, reflection_pb2

    pool = pb.DESCRIPTOR.pool
    for file in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(file.DESCRIPTOR.serialized_pb)
    reflection.enable_server_reflection((SERVICE, HEALTH, reflection.SERVICE_NAME), server, pool)


class GrpcServer:
    def __init__(
        self, dataplane: Dataplane, extensions: Extensions, config: Config, certificate: EdgeCertificate | None = None
    ):
        self.config = config
        self.certificate = certificate
        self.service = Service(dataplane, extensions, config)
        self.health = Health(dataplane, (SERVICE, HEALTH))
        self.server: grpc.aio.Server | None = None

    async def listen(self, host: str, port: int, reuse_port: bool = False) -> int:
        """Bind and serve; returns the port. Raises OSError."""
        server = grpc.aio.server(
            options=options_of(self.config, reuse_port), maximum_concurrent_rpcs=self.config.max_connections
        )
        server.add_generic_rpc_handlers((self.service, self.health))
        if self.config.grpc_reflection:
            add_reflection(server)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self.certificate is None:
                port = int(server.add_insecure_port(address))
            else:
                port = int(server.add_secure_port(address, credentials_of(self.certificate)))
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {host}, port {port}; is it taken?") from error
        await server.start()
        self.server = server
        return port

    async def drain(self, within_s: float) -> bool:
        """Take nothing more, answer what is in hand. False when some had to be cut off."""
        end_s = monotonic() + within_s
        self.service.end_streams()
        if self.server is not None:
            await self.server.stop(within_s)
        return monotonic() < end_s
