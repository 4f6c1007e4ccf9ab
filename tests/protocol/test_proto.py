"""The committed messages are those of the .proto, and those that the field's clients know."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from support.grpc_calls import import_tritonclient_grpc

from inference.protocol.proto import open_inference_pb2 as pb

FOLDER = Path(pb.__file__).parent
PARTS = {"ModelConfig", "ModelInput", "ModelOutput", "ModelVersionPolicy", "ModelDynamicBatching", "ModelInstanceGroup"}


def test_the_committed_code_is_what_the_proto_gives(tmp_path: Path) -> None:
    subprocess.run(
        [FOLDER / "generate.sh", tmp_path], check=True, timeout=60, env={**os.environ, "PYTHON": sys.executable}
    )
    for name in ("open_inference_pb2.py", "open_inference_pb2.pyi"):
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text(), "run `make proto`"


@pytest.fixture(scope="module")
def theirs() -> Any:
    return import_tritonclient_grpc().service_pb2.DESCRIPTOR


def fields(message: Descriptor) -> dict[str, tuple[int, int, bool, str]]:
    return {
        field.name: (field.number, field.type, field.is_repeated, field.message_type.name if field.message_type else "")
        for field in message.fields
    }


@pytest.mark.parametrize("name", sorted(pb.DESCRIPTOR.message_types_by_name))
def test_each_field_is_tritons(theirs: Any, name: str) -> None:
    """By name, number and kind. Of a model's configuration we have a part, of everything else all."""
    ours, known = pb.DESCRIPTOR.message_types_by_name[name], theirs.pool.FindMessageTypeByName(f"inference.{name}")
    mine, expected = fields(ours), fields(known)
    mine.pop("properties", None)  # of the protocol itself; Triton leaves it out
    assert mine.items() <= expected.items()
    assert mine == expected or name in PARTS
    for nested in ours.nested_types:
        if nested.name != "PropertiesEntry":
            assert fields(nested) == fields(known.nested_types_by_name[nested.name])


def test_each_call_is_tritons(theirs: Any) -> None:
    known = theirs.services_by_name["GRPCInferenceService"].methods_by_name
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        other = known[method.name]
        assert (method.input_type.full_name, method.output_type.full_name) == (
            other.input_type.full_name,
            other.output_type.full_name,
        )
        assert (method.client_streaming, method.server_streaming) == (other.client_streaming, other.server_streaming)
