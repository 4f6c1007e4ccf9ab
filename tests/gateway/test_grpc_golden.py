"""Each datatype, however it goes in and comes out: over gRPC the answer is that of REST, to the bit."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.grpc_calls import Caller, connect
from support.machine import free_ports

from inference.protocol.grpc_codec import CONTENTS
from inference.protocol.proto import open_inference_pb2 as pb
from inference.protocol.tensors import pack_bytes

VALUES: dict[str, Any] = {
    "BOOL": np.array([True, False, True]), "UINT8": np.array([0, 1, 255], np.uint8),
    "UINT16": np.array([0, 1, 65535], np.uint16), "UINT32": np.array([0, 1, 2**32 - 1], np.uint32),
    "UINT64": np.array([0, 1, 2**64 - 1], np.uint64), "INT8": np.array([-128, 0, 127], np.int8),
    "INT16": np.array([-32768, 0, 32767], np.int16), "INT32": np.array([-(2**31), 0, 2**31 - 1], np.int32),
    "INT64": np.array([-(2**63), 0, 2**63 - 1], np.int64), "FP16": np.array([-1.5, 0, 65504], np.float16),
    "BF16": np.array([-1.5, 0, 3.0e38], ml_dtypes.bfloat16), "FP32": np.array([-0.1, 0, 3.4e38], np.float32),
    "FP64": np.array([-0.1, 0, 1.7e308], np.float64), "BYTES": [b"", b"\x00a", "grüße".encode()],
}  # fmt: skip
TYPED = list(CONTENTS)


def raw_bytes(kind: str) -> bytes:
    return pack_bytes(VALUES[kind]) if kind == "BYTES" else VALUES[kind].tobytes()


def numbers(kind: str) -> list[Any]:
    return VALUES[kind] if kind == "BYTES" else VALUES[kind].tolist()


@pytest.fixture(scope="module")
def gateway(new_site: Callable[[], Any], builders: dict[str, Callable[..., Any]]) -> Iterator[Any]:
    """A model for each datatype: it gives back what it is given."""
    with new_site() as site:
        for kind in VALUES:
            signature = builders["signature"](("x", kind, (-1, 3), "y"))
            site.serve(builders["model"](kind.lower(), builders["version"](1, signature)))
        yield site.start_gateway("--grpc-port", str(free_ports(1)[0]))


@pytest.fixture(scope="module")
def caller(gateway: Any) -> Iterator[Caller]:
    with connect(gateway.grpc_url) as made:
        yield made


def rest_answer(gateway: Any, kind: str) -> tuple[bytes, Any]:
    """The output over REST: as binary, and what the head says of it."""
    given = {"name": "x", "datatype": kind, "shape": [1, 3], "parameters": {"binary_data_size": len(raw_bytes(kind))}}
    head = json.dumps({"inputs": [given], "parameters": {"binary_data_output": True}}).encode()
    status, body, headers = gateway.call(
        "POST", f"/v2/models/{kind.lower()}/infer", head + raw_bytes(kind),
        Inference_Header_Content_Length=str(len(head)),
    )  # fmt: skip
    assert status == 200, body
    length = int(headers["inference-header-content-length"])
    return body[length:], json.loads(body[:length])["outputs"][0]


@pytest.mark.parametrize("typed_out", [False, True], ids=["raw-out", "typed-out"])
@pytest.mark.parametrize("kind, typed_in", [(kind, False) for kind in VALUES] + [(kind, True) for kind in TYPED])
def test_grpc_gives_what_rest_gives(gateway: Any, caller: Caller, kind: str, typed_in: bool, typed_out: bool) -> None:
    request = pb.ModelInferRequest(model_name=kind.lower())
    given = request.inputs.add(name="x", datatype=kind, shape=[1, 3])
    if typed_in:
        getattr(given.contents, CONTENTS[kind]).extend(numbers(kind))
    else:
        request.raw_input_contents.append(raw_bytes(kind))
    if typed_in != typed_out:  # else it comes back the way it went in
        request.parameters["binary_data_output"].bool_param = not typed_out
    outcome = caller.call("ModelInfer", request)
    assert outcome.code == "OK", outcome.details
    (output,) = outcome.answer.outputs
    data, head = rest_answer(gateway, kind)
    assert (output.name, output.datatype, list(output.shape)) == (head["name"], head["datatype"], head["shape"])
    if typed_out and kind in CONTENTS:
        assert not outcome.answer.raw_output_contents
        assert list(getattr(output.contents, CONTENTS[kind])) == numbers(kind)
        assert data == raw_bytes(kind)
    else:  # FP16 and BF16 have no typed field
        assert not output.HasField("contents")
        assert list(outcome.answer.raw_output_contents) == [data]


@pytest.mark.parametrize("kind, number", [
    ("INT8", 128), ("INT8", -129), ("INT16", 2**15), ("UINT8", 256), ("UINT16", 2**16),
])  # fmt: skip
def test_a_number_that_does_not_fit_is_refused(caller: Caller, kind: str, number: int) -> None:
    request = pb.ModelInferRequest(model_name=kind.lower())
    given = request.inputs.add(name="x", datatype=kind, shape=[1, 3])
    getattr(given.contents, CONTENTS[kind]).extend([0, number, 0])
    outcome = caller.call("ModelInfer", request)
    assert outcome.code == "INVALID_ARGUMENT"
    assert f"does not fit {kind}" in outcome.details


@pytest.mark.parametrize("kind", ["FP16", "FP32", "FP64"])
def test_nan_and_infinity_pass_through(caller: Caller, kind: str) -> None:
    values = np.array([np.nan, np.inf, -np.inf], {"FP16": "f2", "FP32": "f4", "FP64": "f8"}[kind])
    for typed in (False, True) if kind in CONTENTS else (False,):
        request = pb.ModelInferRequest(model_name=kind.lower())
        given = request.inputs.add(name="x", datatype=kind, shape=[1, 3])
        if typed:
            getattr(given.contents, CONTENTS[kind]).extend(values.tolist())
        else:
            request.raw_input_contents.append(values.tobytes())
        answer = caller.call("ModelInfer", request).answer
        if typed:
            assert np.array_equal(getattr(answer.outputs[0].contents, CONTENTS[kind]), values, equal_nan=True)
        else:
            assert answer.raw_output_contents[0] == values.tobytes()
