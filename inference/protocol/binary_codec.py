"""The binary tensor extension of the Open Inference Protocol: a JSON head, then raw tensors in its order.

`Inference-Header-Content-Length` says where the head ends. With 0 the whole body is the one input of the model.
"""

from inference.errors import BadInput
from inference.protocol.json_codec import (
    RequestBody,
    RequestInput,
    ResponseOutput,
    check_kind,
    encode_body,
    json_output,
    read_head,
    read_tensor,
    refuse_shared_memory,
    to_request,
)
from inference.protocol.messages import InferRequest, InferResponse, Tensor, WantedOutput
from inference.protocol.tensors import ITEM_BYTES, LENGTH, check_size, element_count
from inference.spec import Signature

JOIN_BYTES = 65_536  # smaller tensors are copied behind the head: one write of a copy beats several


def decode_request(model: str, version: str, body: bytes | memoryview, head_length: int) -> InferRequest:
    """The request of a body whose first `head_length` bytes are JSON. Raises BadInput."""
    if head_length > len(body):
        raise BadInput(
            f"Inference-Header-Content-Length is {head_length}; the body has {len(body)} bytes. Was it cut off?"
        )
    view = memoryview(body)
    head = read_head(view[:head_length])
    return to_request(model, version, head, read_tensors(head, view[head_length:]))


def read_tensors(head: RequestBody, tail: memoryview) -> list[Tensor]:
    tensors, offset = [], 0
    for item in head.inputs:
        size = binary_size(item)
        if size is None:
            tensors.append(read_tensor(item))
            continue
        if offset + size > len(tail):
            raise BadInput(
                f"Input {item.name[:80]!r} is said to be {size} bytes; {len(tail) - offset} are left of the body."
            )
        check_kind(item)
        tensor = Tensor(item.name, item.datatype, item.shape, tail[offset : offset + size])
        check_size(tensor)
        tensors.append(tensor)
        offset += size
    if offset != len(tail):
        raise BadInput(f"{len(tail)} bytes follow the JSON part; its inputs account for {offset}.")
    return tensors


def binary_size(item: RequestInput) -> int | None:
    """`binary_data_size` of an input; None where its data is in the JSON."""
    if not item.parameters:
        return None
    refuse_shared_memory(item.parameters)
    size = item.parameters.get("binary_data_size")
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise BadInput(f"Input {item.name[:80]!r} has binary_data_size {size!r}; it takes a number of bytes.")
    if len(memoryview(item.data)):
        raise BadInput(f"Input {item.name[:80]!r} has both data and binary_data_size; send one of them.")
    return size


def decode_raw_request(model: str, version: str, body: bytes | memoryview, signature: Signature) -> InferRequest:
    """The request whose whole body is the only input, as one row. All outputs are answered in binary."""
    if len(signature.inputs) != 1:
        raise BadInput(f"A raw body needs a model with one input; {model!r} takes {len(signature.inputs)}.")
    spec = signature.inputs[0]
    if spec.datatype == "BYTES":
        tensor = Tensor(
            spec.name, spec.datatype, (1, *(1 for _ in spec.shape[1:])), b"".join((LENGTH.pack(len(body)), body))
        )
    else:
        tensor = Tensor(spec.name, spec.datatype, raw_shape(spec.shape, spec.datatype, len(body)), body)
    check_size(tensor)
    return InferRequest(model, version, inputs=[tensor], binary_output=True)


def raw_shape(declared: tuple[int, ...], datatype: str, size: int) -> tuple[int, ...]:
    """One row; the one variable axis, if there is one, takes what the size leaves for it."""
    shape = (1, *declared[1:])
    if shape.count(-1) > 1:
        raise BadInput(f"A raw body cannot say its shape: {list(declared)} has more than one variable axis.")
    if -1 in shape:
        fixed = element_count([axis for axis in shape if axis != -1]) * ITEM_BYTES[datatype]
        shape = tuple(size // fixed if axis == -1 and fixed else axis for axis in shape)
    return shape


def wants_binary(request: InferRequest) -> bool:
    return request.binary_output or any(output.binary for output in request.outputs)


def encode_response(
    response: InferResponse, request: InferRequest
) -> tuple[bytes, tuple[bytes | memoryview, ...], int]:
    """The answer's body, large tensors that come after it, and the length of its JSON part.

    Each output is binary or JSON as the request asked.
    """
    asked = {output.name: output for output in request.outputs}
    heads, tail = [], []
    for tensor in response.outputs:
        if is_binary(asked.get(tensor.name), request.binary_output):
            size = {"binary_data_size": len(tensor.data)}
            heads.append(ResponseOutput(tensor.name, tensor.datatype, tensor.shape, parameters=size))
            tail.append(tensor.data)
        else:
            heads.append(json_output(tensor))
    head = encode_body(response, heads)
    if sum(map(len, tail)) < JOIN_BYTES:
        return b"".join((head, *tail)), (), len(head)
    return head, tuple(tail), len(head)


def is_binary(output: WantedOutput | None, default: bool) -> bool:
    return default if output is None or output.binary is None else output.binary
