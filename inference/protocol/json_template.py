"""JSON requests that differ from an earlier one in their numbers alone, and answers that do.

A client that asks the same model again sends the same text around other numbers. What that text says was worked out
once; of the next body it is enough to see that it is there, and to read the numbers between. `learn` proves that the
text means what it seems to, by putting other numbers in and reading the whole.
"""

import struct
from collections.abc import Callable
from math import prod
from typing import Any

import msgspec

from inference.errors import SwitchyardError
from inference.protocol import json_codec
from inference.protocol.json_codec import STRUCT_CODE, ResponseBody, ResponseOutput
from inference.protocol.json_quick import KINDS
from inference.protocol.messages import InferRequest, InferResponse, Tensor

MOST_AROUND = 1024  # bytes of text before the numbers, by which a template is found
MOST_BYTES = 16_384  # of a body: of larger ones the numbers cost more than all else
PROBE = 7  # a number that every datatype can hold
NO_DATA = msgspec.Raw(b"[]")

decoders: dict[type, msgspec.json.Decoder[Any]] = {
    float: msgspec.json.Decoder(list[float]), int: msgspec.json.Decoder(list[int])
}  # fmt: skip


class Unfit(Exception):
    """There is no template to be had of it, or it helps nothing."""


class Template:
    """The text around the numbers of a request's only tensor, and what it says."""

    __slots__ = ("asked", "count", "decode", "pack", "suffix", "tensor")

    def __init__(self, asked: InferRequest, suffix: bytes):
        [tensor] = asked.inputs
        self.asked = asked
        self.suffix = suffix
        self.tensor = Tensor(tensor.name, tensor.datatype, tensor.shape, b"")
        self.count = count = prod(tensor.shape)
        self.decode: Callable[[bytes], list[Any]] = decoders[KINDS[tensor.datatype]].decode
        self.pack: Callable[..., bytes] = struct.Struct(f"<{count}{STRUCT_CODE[tensor.datatype]}").pack
        self.asked = self.request(self.tensor)  # without the numbers, which it must not keep

    def read(self, body: bytes, start: int) -> Tensor | None:
        """The tensor of a body whose numbers begin at `start`; None where the whole has to be looked at."""
        suffix = self.suffix
        if not body.endswith(suffix):
            return None
        try:
            data = self.pack(*self.decode(body[start : len(body) - len(suffix)]))
        except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, struct.error):
            return None
        tensor = self.tensor
        return Tensor(tensor.name, tensor.datatype, tensor.shape, data)

    def request(self, tensor: Tensor) -> InferRequest:
        """The whole request with these numbers."""
        asked = self.asked
        return InferRequest(
            asked.model, asked.version, asked.id, [tensor], parameters=asked.parameters, priority=asked.priority,
            timeout_s=asked.timeout_s,
        )  # fmt: skip


def numbers_start(body: bytes) -> int:
    """Where the numbers of a body begin if a template fits it: its last list. 0 where none can fit."""
    if len(body) > MOST_BYTES:
        return 0
    start = body.rfind(b"[")
    return start if 0 < start <= MOST_AROUND else 0


def learn(body: bytes, start: int, asked: InferRequest) -> Template:
    """What the text around the list at `start` stands for; `asked` is what all of `body` was read as.

    Raises Unfit where the request is not of this kind: it has one tensor, of numbers, and no wishes for its outputs.
    """
    end = body.find(b"]", start) + 1
    if not end or len(asked.inputs) != 1 or asked.inputs[0].datatype not in KINDS:
        raise Unfit("It has not one tensor of numbers.")
    if asked.outputs or asked.binary_output:
        raise Unfit("It has wishes for its outputs.")
    template = Template(asked, body[end:])
    others = [PROBE] * template.count
    probe = b"%b[%b]%b" % (body[:start], ",".join(map(str, others)).encode(), body[end:])
    name, datatype, shape = template.tensor.name, template.tensor.datatype, template.tensor.shape
    meant = template.request(Tensor(name, datatype, shape, template.pack(*others)))
    try:
        read = json_codec.decode_request(asked.model, asked.version, probe)
    except SwitchyardError as error:
        raise Unfit("With other numbers it cannot be read.") from error
    if read != meant:
        raise Unfit("With other numbers it means something else.")
    return template


def around_numbers(response: InferResponse) -> tuple[bytes, bytes]:
    """The text of an answer with one output, before and after its numbers. In a name the quotes of what stands for the
    numbers would be escaped, so it is nowhere else."""
    [tensor] = response.outputs
    output = ResponseOutput(tensor.name, tensor.datatype, tensor.shape, data=NO_DATA)
    body = ResponseBody(response.model, response.version, [output], response.id)
    before, _, after = json_codec.encoder.encode(body).partition(b'"data":[]')
    return before + b'"data":[', b"]" + after
