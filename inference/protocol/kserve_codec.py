"""KServe's (and TensorFlow Serving's) v1 predict: `instances` row by row, or `inputs` as columns, to `predictions`.

A row is a value for the one input, or an object with one for each. Bytes that are no text come and go as {"b64": "…"}.
"""

import base64
import binascii
from collections.abc import Sequence
from math import prod
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType

from inference.errors import BadInput, OutputNotFinite
from inference.protocol.json_codec import MAX_NESTING, RequestInput, read_tensor
from inference.protocol.messages import InferRequest, InferResponse, Tensor
from inference.protocol.tensors import pack_bytes, to_numbers
from inference.spec import Signature, TensorSpec

B64 = "b64"


class PredictBody(Struct):
    instances: list[Raw] | UnsetType = UNSET
    inputs: Raw | UnsetType = UNSET


def decode_request(model: str, version: str, body: bytes, signature: Signature) -> InferRequest:
    """Raises BadInput."""
    try:
        columns = read_columns(body, signature)
        return InferRequest(model, version, inputs=[read_column(spec, columns[spec.name]) for spec in signature.inputs])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"The body is not a predict request: {error}.") from None


def read_columns(body: bytes, signature: Signature) -> dict[str, list[Raw]]:
    """The rows of each input."""
    given = msgspec.json.decode(body, type=PredictBody)
    names = [spec.name for spec in signature.inputs]
    if (given.instances is UNSET) is (given.inputs is UNSET):
        raise BadInput('Send {"instances": […]}, a row each, or {"inputs": …}, a column each; one of them.')
    if not isinstance(given.instances, UnsetType):
        return by_name(given.instances, names)
    raw = given.inputs if isinstance(given.inputs, Raw) else Raw(b"null")
    if first_byte(raw) != b"{":
        return by_name(msgspec.json.decode(raw, type=list[Raw]), names)
    columns = msgspec.json.decode(raw, type=dict[str, list[Raw]])
    check_names(columns, names)
    return columns


def by_name(rows: list[Raw], names: list[str]) -> dict[str, list[Raw]]:
    if not rows:
        raise BadInput("There are no instances; send at least one.")
    if len(names) == 1 and (first_byte(rows[0]) != b"{" or B64 in msgspec.json.decode(rows[0], type=dict[str, Raw])):
        return {names[0]: rows}
    objects = [msgspec.json.decode(row, type=dict[str, Raw]) for row in rows]
    for row in objects:
        check_names(row, names)
    return {name: [row[name] for row in objects] for name in names}


def check_names(given: dict[str, Any], names: list[str]) -> None:
    if set(given) != set(names):
        found = ", ".join(name[:80] for name in list(given)[:16]) or "nothing"
        raise BadInput(f"The model takes {', '.join(names)}; one of the instances has {found}.")


def first_byte(raw: Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def read_column(spec: TensorSpec, rows: list[Raw]) -> Tensor:
    first = msgspec.json.decode(rows[0])
    inner = nested_shape(first)
    missing = len(spec.shape) - 1 - len(inner)
    # A lone value is a row of one: many models declare [-1, 1] for what their clients call a scalar.
    shape = (len(rows), *inner, *(1 for _ in range(missing) if all(axis in (1, -1) for axis in spec.shape[1:])))
    if spec.datatype == "BYTES":
        values = [msgspec.json.decode(row) for row in rows]
        if any(nested_shape(value) != inner for value in values):
            raise BadInput(f"Input {spec.name!r}: all instances need the same shape, here {list(inner)}.")
        elements = flat(values)
        if len(elements) != len(rows) * prod(inner):
            raise BadInput(f"Input {spec.name!r}: an instance is nested unevenly; its shape is {list(inner)}.")
        return Tensor(spec.name, "BYTES", shape, pack_bytes(read_element(spec, element) for element in elements))
    data = Raw(b"[" + b",".join([bytes(memoryview(row)) for row in rows]) + b"]")
    return read_tensor(RequestInput(spec.name, spec.datatype, shape, data))


def nested_shape(value: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list) and len(shape) < MAX_NESTING:
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def flat(value: Any) -> list[Any]:
    return [element for item in value for element in flat(item)] if isinstance(value, list) else [value]


def read_element(spec: TensorSpec, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and isinstance(value.get(B64), str) and len(value) == 1:
        try:
            return base64.b64decode(value[B64], validate=True)
        except (binascii.Error, ValueError):
            raise BadInput(f"Input {spec.name!r} holds a b64 that is not base64.") from None
    raise BadInput(f'Input {spec.name!r} takes texts, or {{"b64": "…"}} for other bytes.')


def encode_response(response: InferResponse) -> bytes:
    """Raises OutputNotFinite where JSON cannot carry a prediction."""
    columns = {tensor.name: write_rows(tensor) for tensor in response.outputs}
    if len(columns) == 1:
        predictions: Sequence[Any] = next(iter(columns.values()))
    else:
        predictions = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return msgspec.json.encode({"predictions": predictions})


def write_rows(tensor: Tensor) -> list[Any]:
    values = to_numbers(tensor)
    if tensor.datatype == "BYTES":
        return write_texts(values.tolist())
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise OutputNotFinite(f"Output {tensor.name!r} holds NaN or infinity, which JSON cannot carry.")
    rows: list[Any] = values.tolist()
    return rows


def write_texts(value: Any) -> Any:
    if isinstance(value, list):
        return [write_texts(item) for item in value]
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {B64: base64.b64encode(value).decode()}
