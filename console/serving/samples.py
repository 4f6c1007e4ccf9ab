"""Inputs to try a model with: those that came with a demo model, else plain ones made from its signature."""

import base64
from pathlib import Path
from typing import Any

from django.conf import settings

from console.registry.models import Model, Version
from console.serving.oip import request_from_values

MAX_SAMPLES = 64
MAX_SAMPLE_BYTES = 256 * 1024
EXAMPLE_TEXT = "A quiet morning at the harbour."
PICTURES = (".png", ".jpg", ".jpeg")


def demo_folder() -> Path:
    return Path(settings.DATA_DIR) / "demo"


def demo_samples(model: Model) -> list[Any]:
    """Elements of the first input: texts, or pictures as {"b64": …}. Empty where the model is not of the demo."""
    if not model.demo:
        return []
    for folder in sorted(demo_folder().glob(f"{model.name}-*/samples")):
        texts = [
            line for file in sorted(folder.glob("*.txt")) for line in file.read_text().splitlines() if line.strip()
        ]
        if texts:
            return texts[:MAX_SAMPLES]
        pictures = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURES]
        small = [file.read_bytes() for file in pictures[:MAX_SAMPLES] if file.stat().st_size <= MAX_SAMPLE_BYTES]
        if small:
            return [{"b64": base64.b64encode(content).decode()} for content in small]
    return []


def sample_requests(version: Version) -> list[dict[str, Any]]:
    """Whole request bodies, at least one; with them demo traffic and a first try in the playground are made."""
    signature = version.signature_spec()
    plain = {tensor.name: plain_values(tensor.datatype, tensor.shape) for tensor in signature.inputs}
    samples = demo_samples(version.model)
    if not samples:
        return [request_from_values(signature, plain)]
    first = signature.inputs[0].name
    return [request_from_values(signature, {**plain, first: [sample]}) for sample in samples]


def plain_values(datatype: str, shape: tuple[int, ...]) -> list[Any]:
    """One row that the datatype allows: a short text, or zeros."""
    count = 1
    for size in shape[1:]:
        count *= max(size, 1)
    value: Any = {"BYTES": EXAMPLE_TEXT, "BOOL": False}.get(datatype, 0)
    return [value] * count
