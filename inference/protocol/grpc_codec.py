"""Open Inference Protocol v2 as gRPC messages: requests in, answers out.

Tensors come raw (`raw_input_contents`, as in the binary extension) or typed (`contents`, a field for each kind of
number). One request uses one of the two. Its answer goes back the way it came, unless `binary_data_output` says
otherwise or an output is FP16 or BF16, which have no typed field.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from inference.errors import BadInput
from inference.protocol.binary_codec import wants_binary
from inference.protocol.json_codec import (
    MAX_TENSORS,
    Parameters,
    RequestInput,
    RequestOutput,
    check_kind,
    pack_values,
    read_output,
    read_parameters,
    refuse_shared_memory,
)
from inference.protocol.messages import InferRequest, InferResponse, Tensor
from inference.protocol.proto.open_inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse
from inference.protocol.tensors import check_size, element_count, pack_bytes, to_numbers, unpack_bytes

CONTENTS = {
    "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
LARGEST_INT64 = 2**63 - 1

Kind = TypeVar("Kind", bound=Message)


def parse(kind: type[Kind], body: bytes) -> Kind:
    """The message in these bytes. Raises BadInput."""
    try:
        return kind.FromString(body)
    except DecodeError:
        raise BadInput(f"The bytes are no {kind.DESCRIPTOR.name}; is the client made from the protocol's v2?") from None


def to_request(message: ModelInferRequest) -> InferRequest:
    """The request in a message. Raises BadInput."""
    if not message.inputs:
        raise BadInput("The request has no inputs; send at least one.")
    if len(message.inputs) > MAX_TENSORS or len(message.outputs) > MAX_TENSORS:
        raise BadInput(f"The request names more than {MAX_TENSORS} tensors.")
    is_raw = bool(message.raw_input_contents)
    tensors = read_raw(message) if is_raw else [read_typed(item) for item in message.inputs]
    request = InferRequest(message.model_name, message.model_version, message.id, tensors)
    if message.outputs:
        request.outputs = [read_output(RequestOutput(item.name, parameters_of(item))) for item in message.outputs]
    if message.parameters:
        read_parameters(request, parameters_of(message))
    if "binary_data_output" not in request.parameters:
        request.binary_output = is_raw
    return request


def parameters_of(item: Any) -> Parameters:
    """The parameters of a request, an input or an output. Raises BadInput."""
    found: Parameters = {}
    for name, value in item.parameters.items():
        choice = value.WhichOneof("parameter_choice")
        if choice is None:
            raise BadInput(f"Parameter {name[:80]!r} has no value; set one of bool, int64, string, double or uint64.")
        found[name] = getattr(value, choice)
    return found


def head_of(item: ModelInferRequest.InferInputTensor) -> RequestInput:
    head = RequestInput(item.name, item.datatype, tuple(item.shape))
    check_kind(head)
    if item.parameters:
        refuse_shared_memory(parameters_of(item))
    return head


def read_raw(message: ModelInferRequest) -> list[Tensor]:
    raw = message.raw_input_contents
    if len(raw) != len(message.inputs):
        raise BadInput(f"There are {len(message.inputs)} inputs and {len(raw)} raw_input_contents; send one for each.")
    tensors = []
    for item, data in zip(message.inputs, raw, strict=True):
        if item.HasField("contents"):
            raise BadInput(f"Input {item.name[:80]!r} has contents, and the request raw_input_contents; send only one.")
        head = head_of(item)
        tensor = Tensor(head.name, head.datatype, head.shape, data)
        check_size(tensor)
        tensors.append(tensor)
    return tensors


def read_typed(item: ModelInferRequest.InferInputTensor) -> Tensor:
    head = head_of(item)
    field = CONTENTS.get(head.datatype)
    if field is None:
        raise BadInput(f"Input {head.name[:80]!r} is {head.datatype}, which travels only as raw_input_contents.")
    strange = [given.name for given, _ in item.contents.ListFields() if given.name != field]
    if strange:
        raise BadInput(f"Input {head.name[:80]!r} has {strange[0]}; {head.datatype} travels in {field}.")
    values = getattr(item.contents, field)
    expected = element_count(head.shape)
    if len(values) != expected:
        raise BadInput(
            f"Input {head.name[:80]!r} holds {len(values)} values; its shape {list(head.shape)} needs {expected}."
        )
    data = pack_bytes(values) if head.datatype == "BYTES" else pack_values(head, values)
    return Tensor(head.name, head.datatype, head.shape, data)


def to_message(response: InferResponse, request: InferRequest) -> ModelInferResponse:
    """The answer as a message, encoded the way the request asked."""
    message = ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id)
    as_raw = wants_binary(request) or any(tensor.datatype not in CONTENTS for tensor in response.outputs)
    for tensor in response.outputs:
        output = message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if as_raw:
            message.raw_output_contents.append(bytes(tensor.data))
        else:
            getattr(output.contents, CONTENTS[tensor.datatype]).extend(typed_values(tensor))
    set_parameters(message.parameters, response.parameters)
    return message


def typed_values(tensor: Tensor) -> Any:
    return unpack_bytes(tensor.data) if tensor.datatype == "BYTES" else to_numbers(tensor).reshape(-1).tolist()


def set_parameters(into: Mapping[str, InferParameter], parameters: Parameters) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            into[name].bool_param = value
        elif isinstance(value, int):
            if value > LARGEST_INT64:
                into[name].uint64_param = value
            else:
                into[name].int64_param = value
        elif isinstance(value, float):
            into[name].double_param = value
        else:
            into[name].string_param = value
