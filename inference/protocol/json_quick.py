"""The short way through a JSON request: one typed pass over the whole body.

It fits a request whose inputs all hold values of one kind, flat, with no parameters; anything else, and anything wrong,
is left to `json_codec`, which says what is the matter. Which kind a client sends is a guess from its last request.
"""

import struct
from math import prod
from typing import Any

import msgspec
from msgspec import Struct

from inference.protocol.json_codec import (
    FLOATS,
    MAX_NESTING,
    MAX_TENSORS,
    STRUCT_CODE,
    Parameters,
    RequestOutput,
    to_request,
)
from inference.protocol.messages import InferRequest, Tensor

KINDS: dict[str, type] = {
    datatype: float if datatype in FLOATS else int for datatype in STRUCT_CODE if datatype != "BOOL"
}


class FloatInput(Struct, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[float]
    parameters: Parameters | None = None


class IntInput(Struct, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[int]
    parameters: Parameters | None = None


class FloatBody(Struct, gc=False):
    inputs: list[FloatInput]
    id: str = ""
    outputs: list[RequestOutput] | None = None
    parameters: Parameters | None = None


class IntBody(Struct, gc=False):
    inputs: list[IntInput]
    id: str = ""
    outputs: list[RequestOutput] | None = None
    parameters: Parameters | None = None


decoders: dict[type, msgspec.json.Decoder[Any]] = {
    float: msgspec.json.Decoder(FloatBody), int: msgspec.json.Decoder(IntBody)
}  # fmt: skip


def guess_kind(request: InferRequest) -> type | None:
    """What the next request like this one holds; None where the short way is not for it."""
    kinds = {KINDS.get(tensor.datatype) for tensor in request.inputs}
    return kinds.pop() if len(kinds) == 1 else None


def decode_request(kind: type, model: str, version: str, body: bytes) -> InferRequest | None:
    """The request, or None where `json_codec` has to look at it. Raises BadInput as that does."""
    try:
        head = decoders[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    tensors = []
    for item in head.inputs:
        shape, data, count = item.shape, item.data, len(item.data)
        if item.parameters or KINDS.get(item.datatype) is not kind or len(shape) > MAX_NESTING:
            return None
        if count != prod(shape) or min(shape, default=0) < 0:
            return None
        try:
            packed = struct.pack(f"<{count}{STRUCT_CODE[item.datatype]}", *data)
        except (OverflowError, struct.error):
            return None
        tensors.append(Tensor(item.name, item.datatype, shape, packed))
    if not tensors or len(tensors) > MAX_TENSORS or (head.outputs and len(head.outputs) > MAX_TENSORS):
        return None
    return to_request(model, version, head, tensors)
