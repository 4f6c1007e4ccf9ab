"""Documents decode strictly or are refused with the path of the fault; nothing else comes out of `decode`."""

import pytest

from inference.errors import BadDocument
from inference.spec import KeysSpec, ModelSpec, ScalePolicy, decode, encode


def test_a_document_comes_back_as_it_was_written() -> None:
    model = ModelSpec(name="minilm", epoch="e", generation=3, aliases={"stable": 1})
    assert decode(encode(model), ModelSpec) == model


@pytest.mark.parametrize(
    "raw, why",
    [
        (b'{"name": "m", "epoch": "e"}', "generation"),
        (b'{"name": "m", "epoch": "e", "generation": 1, "extra": 1}', "extra"),
        (b'{"name": "M!", "epoch": "e", "generation": 1}', "name"),
        (b'{"name": "m", "epoch": "e", "generation": -1}', "generation"),
        (b"nonsense", "malformed"),
        (b'{"name": "\xff"}', "utf-8"),
        (b"", "truncated"),
    ],
    ids=["missing", "unknown", "pattern", "negative", "no-json", "no-utf8", "empty"],
)
def test_what_is_not_such_a_document_is_refused_with_the_reason(raw: bytes, why: str) -> None:
    with pytest.raises(BadDocument, match=rf"not a valid ModelSpec: .*{why}"):
        decode(raw, ModelSpec)


@pytest.mark.parametrize("number", ["9007199254740992", "1" + "0" * 400])
@pytest.mark.parametrize("field", ["slots", "min_replicas"])
def test_whole_numbers_are_those_that_every_reader_holds_exactly(field: str, number: str) -> None:
    assert decode(f'{{"{field}": 9007199254740991}}', ScalePolicy) == ScalePolicy(**{field: 2**53 - 1})
    with pytest.raises(BadDocument, match=field):
        decode(f'{{"{field}": {number}}}', ScalePolicy)


def test_nesting_beyond_the_stack_is_refused_like_any_other_fault() -> None:
    with pytest.raises(BadDocument):
        decode(b'{"epoch":' + b"[" * 1_000_000, KeysSpec)
