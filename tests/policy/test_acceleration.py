"""What a stage's config may ask of its model, and the sizes that batches are filled up to."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import BadDocument
from inference.policy.acceleration import (
    Acceleration,
    Autocast,
    check_acceleration,
    fill_up,
    has_fixed_shapes,
    powers_of_two,
    read_acceleration,
)
from inference.spec import (
    Artifact,
    BatchPolicy,
    Format,
    Signature,
    Stage,
    StageKind,
    TensorSpec,
    Unit,
    Version,
    version_digest,
)

PIXELS = TensorSpec(name="pixels", datatype="FP32", shape=(-1, 3, 8, 8))
TOKENS = TensorSpec(name="ids", datatype="INT64", shape=(-1, -1), ragged_axes=(1,))
SCORE = TensorSpec(name="score", datatype="FP32", shape=(-1, 10))


def stage(taken: TensorSpec = PIXELS, **config: object) -> Stage:
    return Stage(
        name="infer", kind=StageKind.INFER, signature=Signature(inputs=(taken,), outputs=(SCORE,)), config=config
    )


def read(format: Format = Format.SAFETENSORS, taken: TensorSpec = PIXELS, **config: object) -> Acceleration:
    return read_acceleration(stage(taken, **config), format, 32)


def test_without_a_config_a_model_runs_as_it_is() -> None:
    assert read() == Acceleration()


def test_a_config_is_read_by_name() -> None:
    asked = read(autocast="bf16", channels_last=True, batch_sizes=[1, 8])
    assert asked == Acceleration(autocast=Autocast.BF16, channels_last=True, batch_sizes=(1, 8))


@pytest.mark.parametrize("asked", [{"cuda_graphs": True}, {"compile": True}])
def test_what_needs_fixed_shapes_gets_powers_of_two(asked: dict[str, object]) -> None:
    assert read(**asked).batch_sizes == (1, 2, 4, 8, 16, 32)
    assert read(**asked, batch_sizes=[4]).batch_sizes == (4,)


@pytest.mark.parametrize(
    "format, taken, config, said",
    [
        (Format.SAFETENSORS, PIXELS, {"autocats": "bf16"}, "autocats"),
        (Format.SAFETENSORS, PIXELS, {"autocast": "int8"}, "int8"),
        (Format.SAFETENSORS, PIXELS, {"batch_sizes": [0, 4]}, "batch_sizes"),
        (Format.SAFETENSORS, PIXELS, {"batch_sizes": [8, 4]}, "must rise"),
        (Format.SAFETENSORS, PIXELS, {"batch_sizes": [4, 4]}, "must rise"),
        (Format.SAFETENSORS, PIXELS, {"lengths": [32]}, "ragged"),
        (Format.SAFETENSORS, TOKENS, {"lengths": list(range(1, 60))}, "354 shapes"),
        (Format.ONNX, PIXELS, {"autocast": "bf16"}, "ONNX"),
        (Format.TORCHSCRIPT, PIXELS, {"compile": True}, "TorchScript"),
    ],
)
def test_a_config_that_cannot_be_is_refused_with_the_reason(
    format: Format, taken: TensorSpec, config: dict[str, object], said: str
) -> None:
    with pytest.raises(BadDocument, match=said):
        read(format, taken, **config)


def test_a_version_is_checked_before_anything_is_loaded() -> None:
    version = Version(
        number=1,
        digest="0" * 64,
        format=Format.ONNX,
        artifact=Artifact(digest="0" * 64, files=(), store=""),
        signature=stage().signature,
        stages=(stage(),),
        units=(Unit(name="main", stages=("infer",), batch=BatchPolicy(max_size=4)),),
    )
    check_acceleration(version)
    with pytest.raises(BadDocument, match="ONNX"):
        check_acceleration(msgspec.structs.replace(version, stages=(stage(compile=True),)))


def test_other_settings_are_another_version() -> None:
    plain, cast = (version_digest("0" * 64, one.signature, (one,)) for one in (stage(), stage(autocast="bf16")))
    assert plain != cast


@given(st.integers(1, 4096))
def test_powers_of_two_rise_to_the_largest_and_waste_less_than_half(largest: int) -> None:
    sizes = powers_of_two(largest)
    assert sizes[-1] == largest
    assert list(sizes) == sorted(set(sizes))
    assert all(fill_up(rows, sizes) < 2 * rows for rows in range(1, largest + 1))


@given(st.integers(1, 100), st.lists(st.integers(1, 100), unique=True))
def test_a_size_is_filled_up_to_the_next_that_holds_it(size: int, sizes: list[int]) -> None:
    filled = fill_up(size, sorted(sizes))
    assert filled == min((held for held in sizes if held >= size), default=size)


@pytest.mark.parametrize(
    "taken, config, fixed",
    [
        (PIXELS, {}, False),
        (PIXELS, {"batch_sizes": [8]}, True),
        (TOKENS, {"batch_sizes": [8]}, False),
        (TOKENS, {"batch_sizes": [8], "lengths": [32]}, True),
        (msgspec.structs.replace(TOKENS, ragged_axes=()), {"batch_sizes": [8]}, False),
    ],
)
def test_shapes_are_fixed_when_every_free_axis_has_sizes(
    taken: TensorSpec, config: dict[str, object], fixed: bool
) -> None:
    asked = read(taken=taken, **config)
    assert has_fixed_shapes(stage(taken).signature, asked) is fixed
