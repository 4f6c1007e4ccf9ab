"""Units: what crosses from process to process is what is needed there, and a version that cannot run is refused."""

import msgspec
import pytest

from inference.errors import BadDocument
from inference.policy.units import check_units, unit_signature
from inference.spec import Artifact, Format, Signature, Stage, StageKind, TensorSpec, Unit, Version

TEXT = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
IDS = TensorSpec(name="ids", datatype="INT64", shape=(-1, -1), ragged_axes=(1,))
MASK = TensorSpec(name="mask", datatype="INT64", shape=(-1, -1), ragged_axes=(1,))
HIDDEN = TensorSpec(name="hidden", datatype="FP32", shape=(-1, -1, 8))
EMBEDDING = TensorSpec(name="embedding", datatype="FP32", shape=(-1, 8))
WIDER = msgspec.structs.replace(EMBEDDING, shape=(-1, 9))
UNMADE = TensorSpec(name="x", datatype="FP32", shape=(-1,))

TOKENIZE = Stage(
    name="tokenize",
    kind=StageKind.PREPROCESS,
    use="tokenizer",
    signature=Signature(inputs=(TEXT,), outputs=(IDS, MASK)),
)
INFER = Stage(name="infer", kind=StageKind.INFER, signature=Signature(inputs=(IDS, MASK), outputs=(HIDDEN,)))
POOL = Stage(
    name="pool",
    kind=StageKind.POSTPROCESS,
    use="pooling",
    signature=Signature(inputs=(HIDDEN, MASK), outputs=(EMBEDDING,)),
)


def make_version(*units: tuple[str, ...], **changes: object) -> Version:
    version = Version(
        number=1,
        digest="0" * 64,
        format=Format.SAFETENSORS,
        artifact=Artifact(digest="0" * 64, files=(), store="file:///none"),
        signature=Signature(inputs=(TEXT,), outputs=(EMBEDDING,)),
        stages=(TOKENIZE, INFER, POOL),
        units=tuple(Unit(name=f"u{i}", stages=stages) for i, stages in enumerate(units)),
    )
    return msgspec.structs.replace(version, **changes)


def crossing(version: Version) -> list[tuple[list[str], list[str]]]:
    signatures = [unit_signature(version, unit) for unit in version.units]
    return [([t.name for t in s.inputs], [t.name for t in s.outputs]) for s in signatures]


@pytest.mark.parametrize(
    "units, expected",
    [
        ([("tokenize", "infer", "pool")], [(["text"], ["embedding"])]),
        (
            [("tokenize",), ("infer", "pool")],
            [(["text"], ["ids", "mask"]), (["ids", "mask"], ["embedding"])],
        ),
        (
            # The mask goes to the pooling unit from the tokenizer, not through the model.
            [("tokenize",), ("infer",), ("pool",)],
            [(["text"], ["ids", "mask"]), (["ids", "mask"], ["hidden"]), (["hidden", "mask"], ["embedding"])],
        ),
    ],
)
def test_a_unit_takes_and_gives_what_is_needed_and_no_more(units: list, expected: list) -> None:
    version = make_version(*units)
    check_units(version)
    assert crossing(version) == expected


def test_the_versions_own_words_on_its_inputs_and_outputs_win() -> None:
    finite = msgspec.structs.replace(EMBEDDING, finite=True)
    version = make_version(("tokenize", "infer", "pool"), signature=Signature(inputs=(TEXT,), outputs=(finite,)))
    assert unit_signature(version, version.units[0]).outputs == (finite,)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"units": (Unit(name="u", stages=("infer", "tokenize", "pool")),)}, "in that order"),
        ({"units": (Unit(name="u", stages=("tokenize", "infer")),)}, "each once"),
        (
            {"stages": (INFER, TOKENIZE, POOL), "units": (Unit(name="u", stages=("infer", "tokenize", "pool")),)},
            "'ids'",
        ),
        ({"stages": (TOKENIZE, INFER, msgspec.structs.replace(POOL, name="infer"))}, "share a name"),
        ({"signature": Signature(inputs=(TEXT,), outputs=(MASK, IDS, HIDDEN, TEXT, UNMADE))}, "'x'"),
        ({"signature": Signature(inputs=(TEXT, IDS), outputs=(EMBEDDING,))}, "there already"),
        ({"signature": Signature(inputs=(TEXT,), outputs=(WIDER,))}, "FP32 [-1, 9]"),
    ],
)
def test_what_cannot_run_is_refused_by_name(change: dict, words: str) -> None:
    with pytest.raises(BadDocument, match=words.replace("[", r"\[").replace("]", r"\]")):
        check_units(make_version(("tokenize", "infer", "pool"), **change))
