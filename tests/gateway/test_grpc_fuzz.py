"""Whatever bytes come as a message: an answer with a code that blames the client, and the gateway goes on."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.grpc_calls import Caller, connect, linear_request

from inference.protocol.proto import open_inference_pb2 as pb
from inference.protocol.tensors import DATATYPES

CLIENTS_FAULT = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "DEADLINE_EXCEEDED"}
VALID = linear_request([1.0, 2.0, 3.0, 4.0], id="7").SerializeToString()
METHODS = ("ModelInfer", "ModelMetadata", "ModelReady", "ModelStatistics", "ModelConfig", "RepositoryIndex")

number = st.one_of(st.integers(-3, 5), st.sampled_from([2**31, 2**62, -(2**63), 2**63 - 1]))
parameter = st.one_of(
    st.builds(pb.InferParameter, bool_param=st.booleans()),
    st.builds(pb.InferParameter, int64_param=number),
    st.builds(pb.InferParameter, string_param=st.text(max_size=8)),
    st.builds(pb.InferParameter, double_param=st.floats()),
    st.builds(pb.InferParameter),
)
names = st.sampled_from(["timeout", "priority", "binary_data_output", "binary_data_size", "classification", "x",
                         "shared_memory_region", "sequence_id", "binary_data"])  # fmt: skip
parameters = st.dictionaries(names, parameter, max_size=3)
contents = st.builds(
    pb.InferTensorContents,
    fp32_contents=st.lists(st.floats(width=32), max_size=5),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=2),
    bytes_contents=st.lists(st.binary(max_size=4), max_size=2),
)
inputs = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(["x", "y", "", "in_BYTES"]),
    datatype=st.sampled_from([*sorted(DATATYPES), "", "FP128"]),
    shape=st.lists(number, max_size=18),
    parameters=parameters,
    contents=st.one_of(st.none(), contents),
)
requests = st.builds(
    pb.ModelInferRequest,
    model_name=st.sampled_from(["linear", "golden", "none", ""]),
    model_version=st.sampled_from(["", "1", "best", "9", "-1"]),
    id=st.text(max_size=8),
    parameters=parameters,
    inputs=st.lists(inputs, max_size=3),
    raw_input_contents=st.lists(st.binary(max_size=24), max_size=3),
)
damaged = st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255), st.integers(0, 6)).map(
    lambda cut: VALID[: cut[0]] + bytes([cut[1]]) * cut[2] + VALID[cut[0] + 1 :]
)


@pytest.fixture(scope="module")
def caller(shared: Any) -> Iterator[Caller]:
    with connect(shared.grpc_url) as made:
        yield made
    assert "Traceback" not in shared.log.read_text()


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(requests.map(lambda request: request.SerializeToString()), damaged, st.binary(max_size=64)),
       method=st.sampled_from(METHODS))  # fmt: skip
def test_no_message_breaks_the_gateway(caller: Caller, body: bytes, method: str) -> None:
    outcome = caller.call(method, body)
    assert outcome.code in CLIENTS_FAULT, (method, body, outcome)


def test_it_answers_still(caller: Caller) -> None:
    assert caller.infer([1.0, 2.0, 3.0, 4.0]).code == "OK"
