"""The protocol over gRPC, as promised to clients."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from support.grpc_calls import Caller, connect, linear_request

from inference.protocol.proto import open_inference_pb2 as pb

READ_KEY, LIMITED_KEY, EXPIRED_KEY = "sy_testtest_read", "sy_testtest_limited", "sy_testtest_expired"
ROW = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture(scope="module")
def grpc_caller(shared: Any) -> Iterator[Caller]:
    with connect(shared.grpc_url) as caller:
        yield caller


def test_health_and_server_metadata_need_no_key(grpc_caller: Caller) -> None:
    assert grpc_caller.call("ServerLive", key=None).answer.live
    assert grpc_caller.call("ServerReady", key=None).answer.ready
    said = grpc_caller.call("ServerMetadata", key=None).answer
    assert (said.name, said.version) == ("switchyard", "0.1.0")
    assert "parameters" in said.extensions
    assert "binary_tensor_data" not in said.extensions  # an extension of HTTP


@pytest.mark.parametrize("name, version, ready", [
    ("linear", "", True), ("linear", "2", True), ("linear", "best", True), ("linear", "7", False), ("idle", "", False),
    ("none", "", False),
])  # fmt: skip
def test_a_model_is_ready_or_not(grpc_caller: Caller, name: str, version: str, ready: bool) -> None:
    outcome = grpc_caller.call("ModelReady", pb.ModelReadyRequest(name=name, version=version), key=None)
    assert outcome.answer.ready is ready


def test_model_metadata_is_that_of_rest(grpc_caller: Caller, shared: Any) -> None:
    for name, version in (("linear", ""), ("linear", "2"), ("golden", ""), ("chain", "")):
        told = grpc_caller.call("ModelMetadata", pb.ModelMetadataRequest(name=name, version=version), key=READ_KEY)
        expected = shared.call("GET", f"/v2/models/{name}", key=READ_KEY)[1]
        assert told.answer.name == expected["name"]
        assert list(told.answer.versions) == expected["versions"]
        assert told.answer.platform == expected["platform"]
        for ours, theirs in ((told.answer.inputs, expected["inputs"]), (told.answer.outputs, expected["outputs"])):
            assert [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in ours] == theirs


def test_an_inference_says_who_answered_why_and_how_long(grpc_caller: Caller) -> None:
    outcome = grpc_caller.call("ModelInfer", linear_request(ROW, id="42"))
    assert outcome.code == "OK"
    answer = outcome.answer
    assert (answer.model_name, answer.model_version, answer.id) == ("linear", "1", "42")
    assert list(answer.outputs[0].contents.fp32_contents) == ROW
    assert outcome.metadata["x-model-version"] == "1"
    assert outcome.metadata["x-route-reason"] == "weighted"
    assert re.fullmatch(r"queue;dur=[\d.]+, compute;dur=[\d.]+, total;dur=[\d.]+", outcome.metadata["server-timing"])
    assert outcome.metadata["x-request-id"]


def test_ids_and_trace_come_back(grpc_caller: Caller) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for model in ("linear", "none"):
        told = grpc_caller.infer(ROW, model, x_request_id="mine-7", traceparent=trace).metadata
        assert told["x-request-id"] == "mine-7"
        assert told["traceparent"].split("-")[1] == trace.split("-")[1]
        assert told["traceparent"] != trace
    assert grpc_caller.infer(ROW, x_request_id="with space").metadata["x-request-id"] != "with space"


@pytest.mark.parametrize("version, metadata, answered, reason", [
    ("2", {}, "2", "pinned"), ("best", {}, "2", "alias"), ("", {"x_model_version": "2"}, "2", "pinned"),
    ("1", {"x_model_version": "2"}, "1", "pinned"), ("", {}, "1", "weighted"),
])  # fmt: skip
def test_version_is_chosen_as_over_rest(
    grpc_caller: Caller, version: str, metadata: dict[str, str], answered: str, reason: str
) -> None:
    told = grpc_caller.infer(ROW, version=version, **metadata).metadata
    assert (told["x-model-version"], told["x-route-reason"]) == (answered, reason)


@pytest.mark.parametrize("key, code, error", [
    (None, "UNAUTHENTICATED", "key_missing"), ("sy_wrong", "UNAUTHENTICATED", "key_invalid"),
    (EXPIRED_KEY, "UNAUTHENTICATED", "key_invalid"), (READ_KEY, "PERMISSION_DENIED", "scope_missing"),
    (LIMITED_KEY, "PERMISSION_DENIED", "model_not_allowed"),
])  # fmt: skip
def test_a_wrong_key_is_refused(grpc_caller: Caller, key: str | None, code: str, error: str) -> None:
    outcome = grpc_caller.infer(ROW, key=key)
    assert (outcome.code, outcome.metadata["x-error-code"]) == (code, error)
    assert outcome.metadata["x-request-id"]


def test_names_that_do_not_exist(grpc_caller: Caller) -> None:
    for outcome, error in (
        (grpc_caller.infer(ROW, "none"), "model_not_found"),
        (grpc_caller.infer(ROW, version="9"), "version_not_found"),
        (grpc_caller.call("ModelMetadata", pb.ModelMetadataRequest(name="none")), "model_not_found"),
    ):
        assert (outcome.code, outcome.metadata["x-error-code"]) == ("NOT_FOUND", error)


@pytest.mark.parametrize("method", [
    "inference.GRPCInferenceService/SystemSharedMemoryStatus", "inference.GRPCInferenceService/Nothing", "a.B/C",
])  # fmt: skip
def test_what_is_not_served_is_unimplemented(grpc_caller: Caller, method: str) -> None:
    assert grpc_caller.call(f"/{method}").code == "UNIMPLEMENTED"


def test_a_model_without_replicas_is_unavailable_and_says_when_to_come_back(grpc_caller: Caller) -> None:
    outcome = grpc_caller.infer(ROW, "idle")
    assert (outcome.code, outcome.metadata["x-error-code"]) == ("UNAVAILABLE", "not_ready")
    assert int(outcome.metadata["grpc-retry-pushback-ms"]) > 0


def changed(**fields: Any) -> Message:
    request = linear_request(ROW)
    for name, value in fields.items():
        setattr(request.inputs[0], name, value)
    return request


def with_parameters(**parameters: Any) -> pb.ModelInferRequest:
    request = linear_request(ROW)
    for name, (kind, value) in parameters.items():
        setattr(request.parameters[name], kind, value)
    return request


def raw(*contents: bytes, typed: bool = False, shape: tuple[int, ...] = (1, 4)) -> pb.ModelInferRequest:
    request = linear_request(ROW, raw_input_contents=contents)
    request.inputs[0].shape[:] = shape
    if not typed:
        request.inputs[0].ClearField("contents")
    return request


def of_shape(*shape: int) -> pb.ModelInferRequest:
    request = linear_request(ROW)
    request.inputs[0].shape[:] = shape
    return request


def in_wrong_field() -> pb.ModelInferRequest:
    request = linear_request(ROW)
    request.inputs[0].contents.int64_contents.extend([1, 2, 3, 4])
    return request


@pytest.mark.parametrize("request_, says", [
    (b"\xff\xff\xff", "are no ModelInferRequest"), (pb.ModelInferRequest(model_name="linear"), "no inputs"),
    (changed(name="z"), "unknown: 'z'"), (changed(datatype="FP64"), "has fp32_contents; FP64 travels in fp64_contents"),
    (changed(datatype="FP99"), "unknown datatype"), (changed(datatype="FP16"), "only as raw_input_contents"),
    (in_wrong_field(), "int64_contents; FP32 travels in fp32_contents"), (of_shape(2, 4), "holds 4 values"),
    (of_shape(-1, 4), "none below zero"), (of_shape(2, 2), "the model takes"),
    (raw(b"\0" * 16, b""), "send one for each"),
    (raw(b"\0" * 16, typed=True), "send only one"), (raw(b"\0" * 12), "12 bytes"),
    (with_parameters(priority=("string_param", "high")), "'priority'"),
    (with_parameters(timeout=("int64_param", -1)), "'timeout'"),
    (with_parameters(binary_data_output=("int64_param", 1)), "true or false"),
])  # fmt: skip
def test_bad_input_says_what_is_wrong(grpc_caller: Caller, request_: Any, says: str) -> None:
    outcome = grpc_caller.call("ModelInfer", request_)
    assert (outcome.code, outcome.metadata["x-error-code"]) == ("INVALID_ARGUMENT", "bad_input")
    assert says in outcome.details


def test_long_names_do_not_make_an_answer_that_clients_refuse(grpc_caller: Caller) -> None:
    request = linear_request(ROW)
    for number in range(200):
        request.inputs.add(name=f"{number}" + "ü" * 70, datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend(
            ROW
        )
    assert grpc_caller.call("ModelInfer", request).code == "INVALID_ARGUMENT"


def test_what_is_not_offered_is_unimplemented(grpc_caller: Caller) -> None:
    sequence = with_parameters(sequence_id=("int64_param", 1))
    memory = linear_request(ROW)
    memory.inputs[0].parameters["shared_memory_region"].string_param = "r"
    for request in (sequence, memory):
        outcome = grpc_caller.call("ModelInfer", request)
        assert (outcome.code, outcome.metadata["x-error-code"]) == ("UNIMPLEMENTED", "unsupported")


def test_the_models_own_failure_is_internal_and_told(grpc_caller: Caller) -> None:
    outcome = grpc_caller.infer([888.0, 0, 0, 0])
    assert (outcome.code, outcome.metadata["x-error-code"]) == ("INTERNAL", "model_failed")


def test_each_outcome_is_counted(grpc_caller: Caller, shared: Any) -> None:
    before = shared.metric("switchyard_requests_total", model="linear")
    grpc_caller.infer(ROW)
    grpc_caller.call("ModelInfer", changed(name="z"))
    assert shared.metric("switchyard_requests_total", model="linear") == before + 2


@pytest.mark.parametrize("service, status", [("", 1), ("inference.GRPCInferenceService", 1), ("other", None)])
def test_the_health_service_needs_no_key(grpc_caller: Caller, service: str, status: int | None) -> None:
    from grpc_health.v1 import health_pb2

    asked = health_pb2.HealthCheckRequest(service=service)
    outcome = grpc_caller.call("/grpc.health.v1.Health/Check", asked, health_pb2.HealthCheckResponse, key=None)
    if status is None:
        assert outcome.code == "NOT_FOUND"
    else:
        assert outcome.answer.status == status
