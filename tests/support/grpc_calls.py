"""gRPC as a client sees it: a call, its answer or code, and the metadata that came with it."""

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest.mock import patch

import grpc
from google.protobuf import descriptor_pool

from inference.protocol.proto import open_inference_pb2 as pb

SERVICE = "inference.GRPCInferenceService"
KEY = "sy_testtest_all"


@dataclass
class Outcome:
    code: str
    answer: Any
    details: str
    metadata: dict[str, str]


class Caller:
    """One channel. Methods take a message, or bytes where a test sends what no message is."""

    def __init__(self, url: str, options: tuple[tuple[str, int], ...] = (), credentials: Any = None):
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1), *options)
        self.channel = (
            grpc.secure_channel(url, credentials, options) if credentials else grpc.insecure_channel(url, options)
        )

    def start(self, method: str, message: Any = b"", key: str | None = KEY, timeout_s: float | None = 30, **more: str):
        """The call under way."""
        name = method if "/" in method else f"/{SERVICE}/{method}"
        metadata = [(key_.replace("_", "-"), value) for key_, value in more.items()]
        if key is not None:
            metadata.append(("authorization", f"Bearer {key}"))
        body = message if isinstance(message, bytes) else message.SerializeToString()
        return self.channel.unary_unary(name).future(body, timeout=timeout_s, metadata=metadata)

    def call(self, method: str, message: Any = b"", kind: type | None = None, **options: Any) -> Outcome:
        return finish(self.start(method, message, **options), kind or getattr(pb, f"{method}Response", None))

    def infer(self, x: list[float], model: str = "linear", version: str = "", **options: Any) -> Outcome:
        return self.call("ModelInfer", linear_request(x, model, version), **options)


def finish(call: Any, kind: type | None) -> Outcome:
    with contextlib.suppress(grpc.RpcError):
        call.result()
    metadata = dict(call.trailing_metadata() or ())
    answer = kind.FromString(call.result()) if call.code() is grpc.StatusCode.OK and kind else None
    return Outcome(call.code().name, answer, call.details() or "", metadata)


@contextlib.contextmanager
def connect(url: str, **options: Any) -> Iterator[Caller]:
    caller = Caller(url, **options)
    try:
        yield caller
    finally:
        caller.channel.close()


def linear_request(x: list[float], model: str = "linear", version: str = "", **fields: Any) -> pb.ModelInferRequest:
    """For models that take x FP32 [-1, 4]."""
    request = pb.ModelInferRequest(model_name=model, model_version=version, **fields)
    request.inputs.add(name="x", datatype="FP32", shape=[len(x) // 4, 4]).contents.fp32_contents.extend(x)
    return request


def import_tritonclient_grpc() -> ModuleType:
    """Triton's and KServe's clients bring messages of the same names; one descriptor pool refuses the second.

    With a pool of its own, this one may be imported beside the other, whichever comes first.
    """
    with patch.object(descriptor_pool, "Default", return_value=descriptor_pool.DescriptorPool()):
        return importlib.import_module("tritonclient.grpc")
