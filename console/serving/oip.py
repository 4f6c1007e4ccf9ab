"""Requests of the Open Inference Protocol, from JSON that a browser can make to bytes that a gateway takes.

JSON carries BYTES as text. A picture is not text, so here an element may also be `{"b64": "…"}`; inputs that hold one
travel as binary data behind the JSON, as the protocol's binary tensor extension has it.
"""

import base64
import json
import struct
from dataclasses import dataclass
from typing import Any

from console.lib.errors import Invalid
from inference.spec import Signature, TensorSpec

JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Encoded:
    """`head` is JSON, `tail` the binary tensors behind it, often none."""

    head: bytes
    tail: bytes

    @property
    def body(self) -> bytes:
        return self.head + self.tail

    @property
    def headers(self) -> dict[str, str]:
        if not self.tail:
            return {"Content-Type": JSON_TYPE}
        return {"Content-Type": BINARY_TYPE, HEADER_LENGTH: str(len(self.head))}


def encode_request(body: dict[str, Any]) -> Encoded:
    """Raises Invalid for what is no request at all; the gateway judges the rest, as it does for every client."""
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(item, dict) for item in inputs):
        raise Invalid.field("inputs", 'Send {"inputs": [{"name", "datatype", "shape", "data"}]}.')
    refuse_binary_answer(body)
    tails: list[bytes] = []
    heads = [encode_input(item, tails) for item in inputs]
    try:
        head = json.dumps({**body, "inputs": heads}, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise Invalid.field("inputs", "NaN and infinity cannot travel as JSON.") from error
    return Encoded(encode_text(head), b"".join(tails))


def encode_input(item: dict[str, Any], tails: list[bytes]) -> dict[str, Any]:
    data = item.get("data")
    if not isinstance(data, list) or not any(isinstance(element, dict) for element in data):
        return item
    packed = b"".join(struct.pack("<I", len(element)) + element for element in map(element_bytes, data))
    tails.append(packed)
    head = {name: value for name, value in item.items() if name != "data"}
    head["parameters"] = {**parameters_of(item), "binary_data_size": len(packed)}
    return head


def refuse_binary_answer(body: dict[str, Any]) -> None:
    """What comes back is shown as JSON, so bytes behind it could not be."""
    outputs = [item for item in body.get("outputs") or [] if isinstance(item, dict)]
    wanted = parameters_of(body).get("binary_data_output")
    if wanted or any(parameters_of(item).get("binary_data") for item in outputs):
        raise Invalid.field("outputs", "Here answers are JSON. Ask the gateway itself for binary outputs.")


def parameters_of(item: dict[str, Any]) -> dict[str, Any]:
    given = item.get("parameters") or {}
    if not isinstance(given, dict):
        raise Invalid.field("inputs", "'parameters' are an object.")
    return given


def encode_text(text: str) -> bytes:
    """JSON can spell half of a surrogate pair, which is no character and has no bytes."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Invalid.field("inputs", "A text holds half of a surrogate pair, which is no character.") from None


def element_bytes(element: Any) -> bytes:
    if isinstance(element, str):
        return encode_text(element)
    if isinstance(element, dict) and set(element) == {"b64"} and isinstance(element["b64"], str):
        try:
            return base64.b64decode(element["b64"], validate=True)
        except ValueError:
            raise Invalid.field("inputs", "A 'b64' element is not valid base64.") from None
    raise Invalid.field("inputs", 'Elements of one BYTES input are texts or {"b64": "…"}.')


def request_from_values(signature: Signature, values: dict[str, list[Any]]) -> dict[str, Any]:
    """A request body from a form: for each input a flat list of its elements, of one row or of several."""
    inputs = []
    for tensor in signature.inputs:
        data = values.get(tensor.name)
        if not data:
            raise Invalid.field(tensor.name, f"The input {tensor.name!r} is empty.")
        inputs.append(
            {"name": tensor.name, "datatype": tensor.datatype, "shape": fit_shape(tensor, len(data)), "data": data}
        )
    return {"inputs": inputs}


def fit_shape(tensor: TensorSpec, count: int) -> list[int]:
    """The shape that so many elements have: as many rows as fill the known axes, or one row of the axis that varies."""
    inner = tensor.shape[1:]
    known = 1
    for size in inner:
        known *= max(size, 1)
    varying = [axis for axis, size in enumerate(inner) if size < 0]
    if count % known or len(varying) > 1:
        raise Invalid.field(
            tensor.name,
            f"{count} values do not fill {tensor.name!r} of shape {list(tensor.shape)}.",
        )
    if varying:
        return [1, *(count // known if axis == varying[0] else size for axis, size in enumerate(inner))]
    return [count // known, *inner]
