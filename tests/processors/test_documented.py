"""docs/models.md names every format, every processor and every setting."""

import re
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from inference.processors.base import PROCESSORS
from inference.spec import Format

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text()
CONFIGS = {
    "tokenizer": "TokenizerConfig", "pooling": "PoolingConfig", "image": "ImageConfig", "classify": "ClassifyConfig",
    "delay": "DelayConfig", "fail": "FailConfig",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PROCESSORS))
def test_each_setting_of_a_processor_is_documented_and_no_other(name: str) -> None:
    module = import_module(PROCESSORS[name].partition(":")[0])
    (row,) = re.findall(rf"^\| `{name}` \|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE)
    known = {field.name for field in msgspec.structs.fields(getattr(module, CONFIGS[name]))}
    assert set(re.findall(r"`(\w+)`", row)) == known


@pytest.mark.parametrize("format", list(Format))
def test_each_format_is_documented(format: Format) -> None:
    assert re.search(rf"^\| `{format.value}` \|", PAGE, re.MULTILINE)
