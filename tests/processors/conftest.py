import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.processors.base import Processor, find_processor
from inference.spec import Signature, Stage, StageKind, TensorSpec

Tensor = tuple[str, str, tuple[int, ...]]


@pytest.fixture
def make_processor(tmp_path: Path) -> Callable[..., Processor]:
    """A processor from its name, its tensors as (name, datatype, shape) and its config; files lie in tmp_path."""

    def make(use: str, takes: list[Tensor], gives: list[Tensor], **config: Any) -> Processor:
        specs = [tuple(TensorSpec(name=n, datatype=d, shape=s) for n, d, s in side) for side in (takes, gives)]
        signature = Signature(inputs=specs[0], outputs=specs[1])
        stage = Stage(name="step", kind=StageKind.PREPROCESS, use=use, signature=signature, config=config)
        return find_processor(use)(stage, tmp_path)

    return make


@pytest.fixture(scope="session")
def as_rows() -> Callable[..., np.ndarray]:
    """A BYTES tensor, a row an element."""

    def rows(*values: bytes) -> np.ndarray:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array

    return rows


@pytest.fixture(scope="session")
def encode_image() -> Callable[..., bytes]:
    def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
        file = io.BytesIO()
        image.save(file, format, **options)
        return file.getvalue()

    return encode
