"""Triton's extensions over gRPC say what they say over HTTP."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from support.grpc_calls import Caller, connect, import_tritonclient_grpc, linear_request

from inference.protocol.proto import open_inference_pb2 as pb

READ_KEY, LIMITED_KEY = "sy_testtest_read", "sy_testtest_limited"
KEY = {"authorization": "Bearer sy_testtest_all"}


@pytest.fixture(scope="module")
def caller(shared: Any) -> Iterator[Caller]:
    with connect(shared.grpc_url) as made:
        yield made


def as_json(message: Any) -> Any:
    """As HTTP's JSON has it: defaults written out, whole numbers as numbers."""
    said = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return numbers(said)


def numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item if key in ("name", "version") else numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [numbers(item) for item in value]
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value


def test_the_extensions_are_those_of_http_but_its_binary_tensors(caller: Caller, shared: Any) -> None:
    over_http = shared.call("GET", "/v2", key=None)[1]["extensions"]
    over_grpc = list(caller.call("ServerMetadata", key=None).answer.extensions)
    assert over_grpc == [name for name in over_http if name != "binary_tensor_data"]


@pytest.mark.parametrize("model", ["linear", "golden", "chain"])
def test_the_configuration_is_that_of_http(caller: Caller, shared: Any, model: str) -> None:
    outcome = caller.call("ModelConfig", pb.ModelConfigRequest(name=model), key=READ_KEY)
    expected = shared.call("GET", f"/v2/models/{model}/config", key=READ_KEY)[1]
    said = as_json(outcome.answer.config)
    for output in said["output"]:
        assert output.pop("label_filename") == ""
    assert said == expected


def test_statistics_are_those_of_http(caller: Caller, shared: Any) -> None:
    assert caller.infer([1.0, 2.0, 3.0, 4.0], version="2").code == "OK"
    outcome = caller.call("ModelStatistics", pb.ModelStatisticsRequest(name="linear", version="2"), key=READ_KEY)
    expected = shared.call("GET", "/v2/models/linear/versions/2/stats", key=READ_KEY)[1]
    assert as_json(outcome.answer) == expected
    assert outcome.answer.model_stats[0].inference_stats.success.count >= 1
    everything = caller.call("ModelStatistics", pb.ModelStatisticsRequest(), key=READ_KEY).answer
    assert len(everything.model_stats) == len(shared.call("GET", "/v2/models/stats", key=READ_KEY)[1]["model_stats"])


@pytest.mark.parametrize("ready", [False, True])
def test_the_index_is_that_of_http(caller: Caller, shared: Any, ready: bool) -> None:
    outcome = caller.call("RepositoryIndex", pb.RepositoryIndexRequest(ready=ready), key=READ_KEY)
    expected = shared.call("POST", "/v2/repository/index", {"ready": ready}, key=READ_KEY)[1]
    assert as_json(outcome.answer)["models"] == expected
    assert bool(ready) == all(model.state == "READY" for model in outcome.answer.models)


@pytest.mark.parametrize("method, message, code", [
    ("ModelConfig", pb.ModelConfigRequest(name="none"), "NOT_FOUND"),
    ("ModelStatistics", pb.ModelStatisticsRequest(name="linear", version="9"), "NOT_FOUND"),
    ("RepositoryIndex", pb.RepositoryIndexRequest(repository_name="other"), "UNIMPLEMENTED"),
    ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="linear"), "PERMISSION_DENIED"),
    ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="linear"), "PERMISSION_DENIED"),
    ("ModelStatistics", b"\xff", "INVALID_ARGUMENT"),
])  # fmt: skip
def test_what_cannot_be_is_refused(caller: Caller, method: str, message: Any, code: str) -> None:
    assert caller.call(method, message).code == code


def test_no_model_comes_in_by_a_load(caller: Caller) -> None:
    request = pb.RepositoryModelLoadRequest(model_name="linear")
    request.parameters["config"].string_param = "{}"
    outcome = caller.call("RepositoryModelLoad", request)
    assert (outcome.code, outcome.metadata["x-error-code"]) == ("UNIMPLEMENTED", "unsupported")


@pytest.mark.parametrize("method", ["ModelConfig", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad"])
def test_they_need_a_key(caller: Caller, method: str) -> None:
    assert caller.call(method, key=None).code == "UNAUTHENTICATED"


def test_an_output_comes_as_its_best_classes(caller: Caller) -> None:
    request = linear_request([0.25, 4.0, 1.0, 2.0])
    request.outputs.add(name="y").parameters["classification"].int64_param = 2
    (output,) = caller.call("ModelInfer", request).answer.outputs
    assert (output.datatype, list(output.shape)) == ("BYTES", [1, 2])
    assert list(output.contents.bytes_contents) == [b"4.0:1", b"2.0:3"]


def test_tritonclient_reads_all_of_it(shared: Any) -> None:
    triton = import_tritonclient_grpc()
    client = triton.InferenceServerClient(shared.grpc_url)
    assert client.get_model_config("linear", headers=KEY).config.max_batch_size == 32
    statistics = client.get_inference_statistics("linear", "1", headers=KEY)
    assert statistics.model_stats[0].name == "linear"
    assert {model.name for model in client.get_model_repository_index(headers=KEY).models} >= {"linear", "golden"}
    row = triton.InferInput("x", (1, 4), "FP32")
    row.set_data_from_numpy(np.array([[1, 9, 3, 4]], np.float32))
    wanted = triton.InferRequestedOutput("y", class_count=1)
    assert client.infer("linear", [row], outputs=[wanted], headers=KEY).as_numpy("y").tolist() == [[b"9.0:1"]]
    client.close()
