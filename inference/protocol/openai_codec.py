"""OpenAI's embeddings API: its body to a request, vectors to its answer.

Which models it is for, their stages say: text that a tokenizer takes, or token ids as they are, to one vector a row.
"""

import base64
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from inference.errors import BadInput, OutputNotFinite
from inference.protocol.messages import InferRequest, Tensor, WantedOutput
from inference.protocol.tensors import from_numpy, pack_bytes, to_numbers
from inference.spec import Signature, TensorSpec, Version

MAX_INPUTS = 2048
FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})
IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"


class BadParameter(BadInput):
    """BadInput that names the field at fault, as clients of OpenAI expect."""

    def __init__(self, param: str, message: str):
        super().__init__(message)
        self.param = param


class EmbeddingsBody(Struct):
    input: Any
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None


class Form(Struct, frozen=True):
    """How a version takes part: the input that gets the text, or None where it takes token ids; and its vector."""

    text: TensorSpec | None
    vector: TensorSpec


class Usage(Struct):
    prompt_tokens: int
    total_tokens: int


class Embedding(Struct):
    index: int
    embedding: list[float] | str
    object: str = "embedding"


class EmbeddingsAnswer(Struct):
    data: list[Embedding]
    model: str
    usage: Usage
    object: str = "list"


def find_form(version: Version) -> Form | None:
    """None for a version that is no embedding model."""
    signature = version.signature
    vector = find_vector(version)
    if vector is None:
        return None
    tokenized = {stage.signature.inputs[0].name for stage in version.stages if stage.use == "tokenizer"}
    if len(signature.inputs) == 1 and signature.inputs[0].name in tokenized:
        return Form(signature.inputs[0], vector)
    return Form(None, vector) if takes_ids(signature) else None


def find_vector(version: Version) -> TensorSpec | None:
    """The one output with a vector a row. That it is an embedding, and no scores, a pooling stage or its name says."""
    pooled = {spec.name for stage in version.stages if stage.use == "pooling" for spec in stage.signature.outputs}
    found = [
        spec
        for spec in version.signature.outputs
        if spec.datatype in FLOATS and len(spec.shape) == 2 and (spec.name in pooled or "embedding" in spec.name)
    ]
    return found[0] if len(found) == 1 else None


def takes_ids(signature: Signature) -> bool:
    names = {spec.name for spec in signature.inputs}
    whole = all(spec.datatype in ("INT64", "INT32") and len(spec.shape) == 2 for spec in signature.inputs)
    return IDS in names and names <= {IDS, MASK, TYPES} and whole


def read_body(body: bytes) -> EmbeddingsBody:
    try:
        return msgspec.json.decode(body, type=EmbeddingsBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        param = next((name for name in EmbeddingsBody.__struct_fields__ if f"`$.{name}`" in str(error)), "")
        raise BadParameter(param, f"The body is not an embeddings request: {error}.") from None


def to_request(body: EmbeddingsBody, version: str, form: Form, signature: Signature) -> tuple[InferRequest, int]:
    """The request, and how many tokens it is known to hold already: 0 for text. Raises BadParameter."""
    size = form.vector.shape[1]
    if body.dimensions is not None and body.dimensions != size:
        raise BadParameter(
            "dimensions",
            f"Model {body.model!r} gives vectors of {size} dimensions and was not trained to have them cut. "
            "Leave dimensions out.",
        )
    items = list_inputs(body.input)
    if form.text is not None:
        inputs, tokens = [text_tensor(items, form.text, body.model)], 0
    else:
        inputs, tokens = id_tensors(items, signature, body.model)
    wanted = [WantedOutput(form.vector.name)]
    return InferRequest(body.model, version, inputs=inputs, outputs=wanted), tokens


def list_inputs(given: Any) -> list[Any]:
    """One item an embedding: a text, or a list of token ids."""
    alone = isinstance(given, str) or (isinstance(given, list) and bool(given) and is_id(given[0]))
    items = [given] if alone else given
    if not isinstance(items, list) or not items:
        raise BadParameter(
            "input", "`input` takes a text, a list of texts, a list of token ids, or several such lists."
        )
    if len(items) > MAX_INPUTS:
        raise BadParameter("input", f"`input` holds {len(items)} items; at most {MAX_INPUTS} go in one request.")
    return items


def is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def text_tensor(items: Sequence[Any], spec: TensorSpec, model: str) -> Tensor:
    for item in items:
        if isinstance(item, list):
            raise BadParameter("input", f"Model {model!r} takes text and makes the tokens itself; send strings.")
        if not isinstance(item, str):
            raise BadParameter("input", f"`input` holds {str(item)[:40]!r} among its texts.")
    try:
        data = pack_bytes(item.encode() for item in items)
    except UnicodeEncodeError:
        raise BadParameter("input", "`input` holds half of a surrogate pair, which is no text.") from None
    return Tensor(spec.name, "BYTES", (len(items), *(1 for _ in spec.shape[1:])), data)


def id_tensors(items: Sequence[Any], signature: Signature, model: str) -> tuple[list[Tensor], int]:
    """Padded to the longest, with a mask where the model takes one."""
    for item in items:
        if not isinstance(item, list):
            raise BadParameter("input", f"Model {model!r} has no tokenizer here; send token ids instead of text.")
        if not item or not all(is_id(token) and 0 <= token < 2**31 for token in item):
            raise BadParameter("input", "`input` takes lists of token ids, none of them empty.")
    lengths = [len(item) for item in items]
    specs = {spec.name: spec for spec in signature.inputs}
    width = max([*lengths, specs[IDS].shape[1]])
    if (width != max(lengths) and MASK not in specs) or 0 <= specs[IDS].shape[1] < width:
        raise BadParameter("input", f"Model {model!r} takes exactly {specs[IDS].shape[1]} tokens a row.")
    columns = {
        IDS: np.full((len(items), width), specs[IDS].pad_value, np.int64),
        MASK: np.zeros((len(items), width), np.int64),
        TYPES: np.zeros((len(items), width), np.int64),
    }
    for row, item in enumerate(items):
        columns[IDS][row, : len(item)] = item
        columns[MASK][row, : len(item)] = 1
    if MASK not in specs and min(lengths) != width:
        raise BadParameter("input", f"Model {model!r} has no attention mask, so all lists must be of one length.")
    return [from_numpy(name, spec.datatype, columns[name]) for name, spec in specs.items()], sum(lengths)


def encode_response(body: EmbeddingsBody, vectors: Tensor, tokens: int) -> bytes:
    """Raises OutputNotFinite for vectors that no client could use."""
    rows = to_numbers(vectors).astype("<f4", copy=False)
    if not np.isfinite(rows).all():
        raise OutputNotFinite(f"Model {body.model!r} gave a vector with NaN or infinity in it.")
    if body.encoding_format == "base64":
        encoded: list[list[float] | str] = [base64.b64encode(row.tobytes()).decode() for row in rows]
    else:
        encoded = rows.tolist()
    data = [Embedding(index, vector) for index, vector in enumerate(encoded)]
    return msgspec.json.encode(EmbeddingsAnswer(data, body.model, Usage(tokens, tokens)))
