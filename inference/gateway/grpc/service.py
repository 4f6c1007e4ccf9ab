"""`inference.GRPCInferenceService`: calls to the data plane, answers to messages. No rule of inference lives here.

Messages are handled as bytes, so that a body that cannot be read is the client's fault (INVALID_ARGUMENT) and not, as
in gRPC's own decoding, an internal one.
"""

from collections.abc import Awaitable, Callable
from time import monotonic, time
from typing import Any

import grpc

from inference import __version__
from inference.config import Config
from inference.errors import Busy, NotFound, SwitchyardError
from inference.gateway.catalog import SERVER, describe_model
from inference.gateway.dataplane import Dataplane
from inference.gateway.errors import Internal
from inference.gateway.flight import Answer
from inference.gateway.grpc.caller import Caller, Context
from inference.gateway.grpc.extensions import Extensions
from inference.gateway.grpc.stream import InferStream
from inference.gateway.headers import RequestIds
from inference.log import get_log
from inference.protocol.grpc_codec import parse, to_message, to_request
from inference.protocol.proto import open_inference_pb2 as pb
from inference.spec import TensorSpec

log = get_log()

SERVICE = "inference.GRPCInferenceService"
OPEN = frozenset({"ServerLive", "ServerReady", "ModelReady", "ServerMetadata"})  # as over HTTP: they need no key
BODIES_IN_FLIGHT = 16  # times the largest body: memory that requests in hand may take together

Method = Callable[[bytes, Caller], Awaitable[Any]]  # gives a message


class Service(grpc.GenericRpcHandler):
    def __init__(self, dataplane: Dataplane, extensions: Extensions, config: Config):
        self.dataplane = dataplane
        self.extensions = extensions
        self.body_timeout_s = config.body_timeout_s
        self.max_buffered_bytes = BODIES_IN_FLIGHT * config.max_body_bytes
        self.buffered_bytes = 0
        self.request_ids = RequestIds()
        self.streams: set[InferStream] = set()
        unary: dict[str, Method] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
            "ModelConfig": extensions.model_config,
            "ModelStatistics": extensions.model_statistics,
            "RepositoryIndex": extensions.repository_index,
            "RepositoryModelLoad": extensions.repository_model_load,
            "RepositoryModelUnload": extensions.repository_model_unload,
        }
        self.handlers = {f"/{SERVICE}/{name}": self.unary(name, method) for name, method in unary.items()}
        streams = grpc.stream_stream_rpc_method_handler(self.model_stream_infer)
        self.handlers[f"/{SERVICE}/ModelStreamInfer"] = streams

    # grpc.GenericRpcHandler

    def service(self, details: Any) -> Any:
        return self.handlers.get(details.method)

    def unary(self, name: str, method: Method) -> Any:
        """A handler that reads one message and gives one.

        For gRPC it is one of streams, like any call on the wire. For a unary one it would read the message before
        anybody could look at the key, and wait for it for ever.
        """

        async def answer(_: object, context: Context) -> None:
            caller = Caller(context, self.request_ids)
            try:
                if name not in OPEN:
                    self.admit(caller)
                message = await method(await caller.read(self.body_timeout_s), caller)
                body = bytes(message.SerializeToString())
            except SwitchyardError as error:
                caller.refuse(error)
            except Exception:
                log.exception("call_broke", method=name)
                caller.refuse(Internal())
            else:
                await context.write(body)

        return grpc.stream_stream_rpc_method_handler(answer)

    def admit(self, caller: Caller) -> None:
        """Take the caller for whose key it shows. Raises MissingKey or BadKey."""
        try:
            caller.principal = self.dataplane.tables.keys.authenticate(caller.headers.get(b"authorization"), time())
        except SwitchyardError as error:
            self.dataplane.refused("", error)
            raise

    # Reading

    async def server_live(self, body: bytes, caller: Caller) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, body: bytes, caller: Caller) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self.dataplane.ready)

    async def model_ready(self, body: bytes, caller: Caller) -> pb.ModelReadyResponse:
        asked = parse(pb.ModelReadyRequest, body)
        try:
            return pb.ModelReadyResponse(ready=self.dataplane.is_ready(asked.name, asked.version))
        except NotFound:
            return pb.ModelReadyResponse(ready=False)

    async def server_metadata(self, body: bytes, caller: Caller) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=SERVER, version=__version__, extensions=self.extensions.names())

    async def model_metadata(self, body: bytes, caller: Caller) -> pb.ModelMetadataResponse:
        asked = parse(pb.ModelMetadataRequest, body)
        described = describe_model(self.dataplane, caller.known(), asked.name, asked.version)
        return pb.ModelMetadataResponse(
            name=asked.name,
            versions=described.versions,
            platform=described.platform,
            inputs=map(tensor_metadata, described.signature.inputs),
            outputs=map(tensor_metadata, described.signature.outputs),
        )

    # Inference

    async def model_infer(self, body: bytes, caller: Caller) -> pb.ModelInferResponse:
        message, answer = await self.infer(body, caller, caller.arrived_s)
        caller.context.set_trailing_metadata(
            (
                ("x-model-version", answer.plan.label),
                ("x-route-reason", answer.reason),
                ("server-timing", timing_of(answer)),
                *caller.names(),
            )
        )
        return message

    async def infer(self, body: bytes, caller: Caller, arrived_s: float) -> tuple[pb.ModelInferResponse, Answer]:
        """The answer to the request in `body`. Raises SwitchyardError."""
        self.buffered_bytes += len(body)
        model = ""
        try:
            try:
                if self.buffered_bytes > self.max_buffered_bytes:
                    raise Busy("Too many large requests are in hand at once; try again soon.")
                message = parse(pb.ModelInferRequest, body)
                model = message.model_name
                request = to_request(message)
                call = caller.call(message.model_version)
            except SwitchyardError as error:
                self.dataplane.refused(model, error)
                raise
            answer = await self.dataplane.infer(request, call, arrived_s)
            return to_message(answer.response, request), answer
        finally:
            self.buffered_bytes -= len(body)

    async def model_stream_infer(self, _: object, context: Context) -> None:
        caller = Caller(context, self.request_ids)
        try:
            self.admit(caller)
        except SwitchyardError as error:
            caller.refuse(error)
            return
        stream = InferStream(self.infer_in_stream, caller)
        self.streams.add(stream)
        try:
            await stream.run()
        finally:
            self.streams.discard(stream)

    async def infer_in_stream(self, body: bytes, caller: Caller) -> bytes:
        """As a stream answers: an error is a message too, and the stream goes on."""
        try:
            self.admit(caller)  # again: the key may have been revoked since the stream began
            message, _ = await self.infer(body, caller, monotonic())
            message.parameters["triton_final_response"].bool_param = True  # one request has one answer
            return bytes(pb.ModelStreamInferResponse(infer_response=message).SerializeToString())
        except SwitchyardError as error:
            told = str(error)
        except Exception:
            log.exception("call_broke", method="model_stream_infer")
            told = str(Internal())
        return bytes(pb.ModelStreamInferResponse(error_message=told, infer_response=named(body)).SerializeToString())

    def end_streams(self) -> None:
        """Let streams answer what they have read, and take no more."""
        for stream in tuple(self.streams):
            stream.end()


def timing_of(answer: Answer) -> str:
    return (
        f"queue;dur={answer.queue_s * 1e3:.3f}, compute;dur={answer.compute_s * 1e3:.3f}, "
        f"total;dur={answer.total_s * 1e3:.3f}"
    )


def named(body: bytes) -> pb.ModelInferResponse:
    """What of a request its error must carry, so that the client knows which one it was."""
    try:
        message = parse(pb.ModelInferRequest, body)
    except SwitchyardError:
        return pb.ModelInferResponse()
    return pb.ModelInferResponse(model_name=message.model_name, model_version=message.model_version, id=message.id)


def tensor_metadata(tensor: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
