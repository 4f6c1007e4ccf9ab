"""Open Inference Protocol v2 as JSON: requests in, answers out.

`data` is kept as raw JSON until its datatype and shape are known, then decoded straight into a typed list: one strict
pass in C that refuses strings for numbers, fractions for integers, NaN and infinity. Data may be flat or nested as its
shape. Numbers are range-checked by `struct`, which packs them little-endian.
"""

import struct
from functools import cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, Raw, Struct, UnsetType

from inference.errors import BadInput, OutputNotFinite, UnsupportedFeature
from inference.protocol.joined import Share
from inference.protocol.messages import InferRequest, InferResponse, Tensor, WantedOutput
from inference.protocol.tensors import DATATYPES, element_count, pack_bytes, to_numbers, unpack_bytes

MAX_NESTING = 16  # dimensions of a tensor
MAX_TENSORS = 256
Parameters = dict[str, str | int | float | bool]

STRUCT_CODE = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
FLOATS = frozenset({"FP16", "FP32", "FP64", "BF16"})
FIRST_OF_NUMBER = frozenset(b"-0123456789")
SHARED_MEMORY = (
    "Shared memory is not offered: naming a region by its key has let clients of other servers read and overwrite the "
    "server's own memory. Send the tensor as JSON or binary data."
)
SEQUENCES = ("sequence_id", "sequence_start", "sequence_end")


class RequestInput(Struct, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Raw = Raw()
    parameters: Parameters | None = None


class RequestOutput(Struct, gc=False):
    name: str
    parameters: Parameters | None = None


class RequestBody(Struct, gc=False):
    inputs: list[RequestInput]
    id: str = ""
    outputs: list[RequestOutput] | None = None
    parameters: Parameters | None = None


class ResponseOutput(Struct, gc=False, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] | UnsetType = UNSET
    data: Any = UNSET


class ResponseBody(Struct, gc=False, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: str = ""
    parameters: dict[str, Any] | UnsetType = UNSET


body_decoder = msgspec.json.Decoder(RequestBody)
encoder = msgspec.json.Encoder()


def decode_request(model: str, version: str, body: bytes) -> InferRequest:
    """The request of a JSON body. Raises BadInput."""
    head = read_head(body)
    return to_request(model, version, head, [read_tensor(item) for item in head.inputs])


def read_head(body: bytes | memoryview) -> RequestBody:
    """Everything but the tensors' data, which stays raw. Raises BadInput."""
    if not body:
        raise BadInput('The body is empty. Send {"inputs": [{"name", "datatype", "shape", "data"}]} as JSON.')
    try:
        head = body_decoder.decode(body)
    except RecursionError:
        raise BadInput("The JSON is nested too deep.") from None
    except UnicodeDecodeError:
        raise BadInput("The body is not UTF-8 text.") from None
    except msgspec.DecodeError as error:
        raise BadInput(f"The body is not an inference request: {error}.") from None
    if not head.inputs:
        raise BadInput("The request has no inputs; send at least one.")
    if len(head.inputs) > MAX_TENSORS or (head.outputs and len(head.outputs) > MAX_TENSORS):
        raise BadInput(f"The request names more than {MAX_TENSORS} tensors.")
    return head


def to_request(model: str, version: str, head: Any, tensors: list[Tensor]) -> InferRequest:
    """`head` is a RequestBody, or what stands for one in `json_quick`."""
    request = InferRequest(model, version, head.id, tensors)
    if head.outputs:
        request.outputs = [read_output(output) for output in head.outputs]
    if head.parameters:
        read_parameters(request, head.parameters)
    return request


def read_parameters(request: InferRequest, parameters: Parameters) -> None:
    """Take the parameters that the protocol reserves; the rest travels along untouched."""
    request.parameters = parameters
    request.binary_output = flag(parameters, "binary_data_output")
    if "priority" in parameters:
        request.priority = whole(parameters, "priority")
    if "timeout" in parameters:
        microseconds = whole(parameters, "timeout")
        request.timeout_s = microseconds / 1e6 if microseconds else None
    if any(name in parameters for name in SEQUENCES):
        raise UnsupportedFeature("Sequences are not served here: each request stands alone. Leave sequence_* out.")


def read_output(output: RequestOutput) -> WantedOutput:
    parameters = output.parameters
    if not parameters:
        return WantedOutput(output.name)
    refuse_shared_memory(parameters)
    return WantedOutput(
        output.name,
        flag(parameters, "binary_data") if "binary_data" in parameters else None,
        whole(parameters, "classification") if "classification" in parameters else 0,
    )


def refuse_shared_memory(parameters: Parameters) -> None:
    if "shared_memory_region" in parameters:
        raise UnsupportedFeature(SHARED_MEMORY)


def flag(parameters: Parameters, name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise BadInput(f"Parameter {name!r} is {value!r}; it takes true or false.")
    return value


def whole(parameters: Parameters, name: str) -> int:
    value = parameters[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadInput(f"Parameter {name!r} is {value!r}; it takes a whole number of zero or more.")
    return value


def check_kind(item: RequestInput) -> None:
    if item.datatype not in DATATYPES:
        known = ", ".join(sorted(DATATYPES))
        raise BadInput(f"Input {item.name[:80]!r} has the unknown datatype {item.datatype[:80]!r}. Known are {known}.")
    if len(item.shape) > MAX_NESTING or min(item.shape, default=0) < 0:
        raise BadInput(f"Input {item.name[:80]!r} needs a shape of at most {MAX_NESTING} sizes, none below zero.")


def read_tensor(item: RequestInput) -> Tensor:
    """The tensor of one JSON input. Raises BadInput."""
    check_kind(item)
    if item.parameters:
        refuse_shared_memory(item.parameters)
        if "binary_data_size" in item.parameters:
            raise BadInput(
                f"Input {item.name[:80]!r} is said to be binary, so the request needs the header "
                "Inference-Header-Content-Length with the length of its JSON part."
            )
    values = read_values(item)
    expected = element_count(item.shape)
    if len(values) != expected:
        raise BadInput(
            f"Input {item.name[:80]!r} holds {len(values)} values; its shape {list(item.shape)} needs {expected}."
        )
    return Tensor(item.name, item.datatype, item.shape, pack_values(item, values))


def read_values(item: RequestInput) -> list[Any]:
    """The flat values of `data`, whether it was sent flat or nested."""
    if not memoryview(item.data):
        raise BadInput(f"Input {item.name[:80]!r} has no data; send its values as 'data'.")
    depth = nesting(item.data)
    if depth > 1 and depth != len(item.shape):
        raise BadInput(
            f"Input {item.name[:80]!r} nests {depth} deep; send it flat, or as its shape {list(item.shape)}."
        )
    try:
        values = data_decoder(item.datatype, depth).decode(item.data)
    except RecursionError:
        raise BadInput(f"Input {item.name[:80]!r} is nested too deep.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"Input {item.name[:80]!r}: {str(error).replace('$', 'data')}.") from None
    for axis in range(1, depth):
        size = item.shape[axis]
        for row in values:
            if len(row) != size:
                raise BadInput(
                    f"Input {item.name[:80]!r} holds a row of {len(row)} on axis {axis}; "
                    f"its shape {list(item.shape)} needs {size}."
                )
        values = list(chain.from_iterable(values))
    return values


def nesting(data: Raw) -> int:
    """How many arrays open before the first value, at least 1."""
    view, depth = memoryview(data), 0
    if len(view) > 1 and view[0] == 0x5B and view[1] in FIRST_OF_NUMBER:
        return 1
    for byte in view[: 4 * MAX_NESTING]:
        if byte == 0x5B:
            depth += 1
        elif byte not in b" \t\r\n":
            break
    return max(depth, 1)


@cache
def data_decoder(datatype: str, depth: int) -> msgspec.json.Decoder[Any]:
    """A strict decoder of lists of a datatype, `depth` deep: at most 14 datatypes x 16 depths exist."""
    kind: Any = {"BYTES": str, "BOOL": bool}.get(datatype, float if datatype in FLOATS else int)
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def pack_values(item: RequestInput, values: list[Any]) -> bytes:
    try:
        if item.datatype == "BYTES":
            return pack_bytes(value.encode() for value in values)
        if item.datatype == "BF16":
            return pack_bf16(values)
        return struct.pack(f"<{len(values)}{STRUCT_CODE[item.datatype]}", *values)
    except (OverflowError, struct.error):
        raise BadInput(f"Input {item.name[:80]!r} holds a number that does not fit {item.datatype}.") from None
    except UnicodeEncodeError:
        raise BadInput(f"Input {item.name[:80]!r} holds half of a surrogate pair, which is no text.") from None


def pack_bf16(values: list[float]) -> bytes:
    """The upper half of each float32, rounded to nearest, ties to even."""
    bits = np.frombuffer(struct.pack(f"<{len(values)}f", *values), dtype="<u4").astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    if bool(((rounded & 0x7F80) == 0x7F80).any()):
        raise OverflowError
    return rounded.astype("<u2").tobytes()


def encode_response(response: InferResponse) -> bytes:
    """The answer as JSON. Raises OutputNotFinite or BadInput where JSON cannot carry an output."""
    outputs = [json_output(tensor) for tensor in response.outputs]
    return encode_body(response, outputs)


def json_output(tensor: Tensor) -> ResponseOutput:
    return ResponseOutput(tensor.name, tensor.datatype, tensor.shape, data=json_values(tensor))


def encode_body(response: InferResponse, outputs: list[ResponseOutput]) -> bytes:
    body = ResponseBody(response.model, response.version, outputs, response.id)
    if response.parameters:
        body.parameters = response.parameters
    encoded = encoder.encode(body)
    if b"null" in encoded:  # so orjson writes NaN; a whole scan of each output would cost every answer
        check_finite_outputs(response)
    return encoded


def json_values(tensor: Tensor) -> Any:
    """The flat values: numbers as JSON text, a float as the shortest number that reads back as it."""
    if isinstance(tensor, Share):
        return Raw(b"[%b]" % tensor.joined.text(tensor.start, tensor.shape[0]))
    if tensor.datatype != "BYTES":
        return Raw(orjson.dumps(to_numbers(tensor).reshape(-1), option=orjson.OPT_SERIALIZE_NUMPY))
    try:
        return [element.decode() for element in unpack_bytes(tensor.data)]
    except UnicodeDecodeError:
        raise BadInput(
            f"Output {tensor.name!r} holds bytes that are not UTF-8 text; ask for it with binary_data."
        ) from None


def check_finite_outputs(response: InferResponse) -> None:
    for tensor in response.outputs:
        if tensor.datatype in FLOATS and not np.isfinite(to_numbers(tensor)).all():
            raise OutputNotFinite(
                f"Output {tensor.name!r} holds NaN or infinity, which JSON cannot carry; ask for it with binary_data."
            )
