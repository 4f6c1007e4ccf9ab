"""How gRPC calls end other than with an answer: late, given up, too large, in a drain; and what they leave behind."""

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2
from support.grpc_calls import SERVICE, Caller, connect, finish, linear_request
from support.machine import free_ports
from support.waiting import wait_until

from inference.protocol.proto import open_inference_pb2 as pb

SLEEP = [777.0, 0, 0, 0]  # the toy takes 0.25 s
ROW = [1.0, 2.0, 3.0, 4.0]
MIB = 1024 * 1024


@pytest.fixture
def gateway(site: Any, builders: Any) -> Any:
    """One replica that takes one request at a time."""
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    batch = builders["batch"](max_size=1)
    site.serve(builders["model"]("linear", builders["version"](1, signature, batch=batch)), TOY_SLOTS="1")
    wide = builders["signature"](("x", "FP32", (-1, 1_000_000), "y"))
    site.serve(builders["model"]("wide", builders["version"](1, wide)))
    return site.start_gateway("--grpc-port", str(free_ports(1)[0]))


@pytest.fixture
def caller(gateway: Any) -> Iterator[Caller]:
    with connect(gateway.grpc_url) as made:
        yield made


def errors(gateway: Any, code: str) -> float:
    return gateway.metric("switchyard_requests_total", model="linear", code=code)


def wide_request(rows: int) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="wide", raw_input_contents=[bytes(rows * 4_000_000)])
    request.inputs.add(name="x", datatype="FP32", shape=[rows, 1_000_000])
    return request


@pytest.mark.parametrize("options", [{"timeout_s": 0.1}, {"x_timeout_ms": "100"}], ids=["grpc", "header"])
def test_a_deadline_ends_the_call_and_is_counted_as_such(gateway: Any, caller: Caller, options: dict) -> None:
    assert caller.infer(SLEEP, **options).code == "DEADLINE_EXCEEDED"
    wait_until(lambda: errors(gateway, "deadline_passed") == 1)
    assert errors(gateway, "cancelled") == 0
    assert caller.infer(ROW).code == "OK"


def test_the_parameter_timeout_is_in_microseconds(caller: Caller) -> None:
    request = linear_request(SLEEP)
    request.parameters["timeout"].int64_param = 50_000
    outcome = caller.call("ModelInfer", request)
    assert (outcome.code, outcome.metadata["x-error-code"]) == ("DEADLINE_EXCEEDED", "deadline_passed")
    assert "X-Timeout-Ms" in outcome.details


def test_what_a_client_gives_up_is_never_computed(gateway: Any, caller: Caller) -> None:
    computed = caller.start("ModelInfer", linear_request(SLEEP))
    wait_until(lambda: gateway.metric("switchyard_running_requests") == 1)
    given_up = [caller.start("ModelInfer", linear_request(SLEEP)) for _ in range(5)]
    wait_until(lambda: gateway.metric("switchyard_running_requests") == 6)
    for call in given_up:
        call.cancel()
    wait_until(lambda: errors(gateway, "cancelled") == 5)
    assert finish(computed, None).code == "OK"
    assert caller.infer(ROW).code == "OK"
    assert gateway.metric("nv_inference_exec_count", model="linear") == 2
    assert gateway.metric("switchyard_running_requests") == 0


def test_a_stream_that_is_hung_up_drops_its_work(gateway: Any, caller: Caller) -> None:
    requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    stream = caller.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(
        iter(requests.get, None), metadata=[("authorization", "Bearer sy_testtest_all")]
    )
    for _ in range(4):
        requests.put(linear_request(SLEEP).SerializeToString())
    wait_until(lambda: gateway.metric("switchyard_running_requests") == 4)
    stream.cancel()
    requests.put(None)
    wait_until(lambda: gateway.metric("switchyard_running_requests") == 0)
    assert errors(gateway, "cancelled") >= 3
    assert caller.infer(ROW).code == "OK"


def test_bodies_are_bounded_also_after_inflation(site: Any, gateway: Any) -> None:
    small = site.start_gateway("--grpc-port", str(free_ports(1)[0]), SWITCHYARD_MAX_BODY_BYTES=str(8 * MIB))
    with connect(small.grpc_url) as caller:
        assert caller.call("ModelInfer", wide_request(1)).code == "OK"
        assert caller.call("ModelInfer", wide_request(3)).code == "RESOURCE_EXHAUSTED"
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            bomb = caller.channel.unary_unary(f"/{SERVICE}/ModelInfer").future(
                bytes(100 * MIB), compression=compression, metadata=[("authorization", "Bearer sy_testtest_all")]
            )
            assert finish(bomb, None).code == "RESOURCE_EXHAUSTED"
        # Were the body read, its size would be what is wrong with it.
        assert caller.call("ModelInfer", bytes(9 * MIB), key=None).code == "UNAUTHENTICATED"
        assert caller.call("ModelInfer", bytes(9 * MIB)).code == "RESOURCE_EXHAUSTED"


def test_a_message_that_does_not_come_is_not_awaited_for_ever(site: Any, gateway: Any) -> None:
    strict = site.start_gateway("--grpc-port", str(free_ports(1)[0]), SWITCHYARD_BODY_TIMEOUT_S="0.3")
    never: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with connect(strict.grpc_url) as caller:
        slow = caller.channel.stream_unary(f"/{SERVICE}/ModelInfer").future(
            iter(never.get, None), metadata=[("authorization", "Bearer sy_testtest_all")]
        )
        outcome = finish(slow, None)
        assert (outcome.code, outcome.metadata["x-error-code"]) == ("DEADLINE_EXCEEDED", "slow_client")
        empty = caller.channel.stream_unary(f"/{SERVICE}/ModelInfer").future(
            iter(()), metadata=[("authorization", "Bearer sy_testtest_all")]
        )
        assert finish(empty, None).code == "INVALID_ARGUMENT"
        assert caller.infer(ROW).code == "OK"
        never.put(None)


def test_reflection_tells_what_there_is_where_it_is_turned_on(site: Any, gateway: Any, caller: Caller) -> None:
    from grpc_reflection.v1alpha import reflection_pb2

    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

    def ask(caller: Caller, **asked: str) -> reflection_pb2.ServerReflectionResponse:
        request = reflection_pb2.ServerReflectionRequest(**asked).SerializeToString()
        return reflection_pb2.ServerReflectionResponse.FromString(
            next(caller.channel.stream_stream(method)(iter([request])))
        )

    with pytest.raises(grpc.RpcError) as refused:
        ask(caller, list_services="")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    open_one = site.start_gateway("--grpc-port", str(free_ports(1)[0]), SWITCHYARD_GRPC_REFLECTION="1")
    with connect(open_one.grpc_url) as talker:
        listed = {service.name for service in ask(talker, list_services="").list_services_response.service}
        assert {SERVICE, "grpc.health.v1.Health"} <= listed
        for name in (SERVICE, "grpc.health.v1.Health"):
            assert ask(talker, file_containing_symbol=name).file_descriptor_response.file_descriptor_proto


def test_large_calls_leave_no_memory_behind_however_they_end(gateway: Any, caller: Caller) -> None:
    process = psutil.Process(gateway.process.pid)
    cut = wide_request(8)
    cut.inputs[0].shape[0] = 7

    def use_it(times: int) -> None:
        for _ in range(times):
            assert caller.call("ModelInfer", wide_request(8)).code == "OK"
            assert caller.call("ModelInfer", cut).code == "INVALID_ARGUMENT"
            assert caller.call("ModelInfer", bytes(32 * MIB)).code == "INVALID_ARGUMENT"
            given_up = caller.start("ModelInfer", wide_request(8))
            given_up.cancel()

    use_it(2)
    before = process.memory_info().rss
    use_it(8)
    assert process.memory_info().rss - before < 150 * MIB  # one leaked body in each round would be 256


def test_a_drain_answers_what_is_in_hand_and_refuses_the_rest(gateway: Any, caller: Caller) -> None:
    calls = [caller.start("ModelInfer", linear_request(SLEEP)) for _ in range(3)]
    requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    stream = caller.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(
        iter(requests.get, None), metadata=[("authorization", "Bearer sy_testtest_all")]
    )
    requests.put(linear_request(SLEEP).SerializeToString())
    wait_until(lambda: gateway.metric("switchyard_running_requests") == 4)
    gateway.process.send_signal(signal.SIGTERM)
    gateway.wait_for("gateway_draining")
    with connect(gateway.grpc_url) as late:
        assert late.infer(ROW, timeout_s=5).code == "UNAVAILABLE"
    assert [finish(call, pb.ModelInferResponse).code for call in calls] == ["OK"] * 3
    answer = pb.ModelStreamInferResponse.FromString(next(stream))
    assert list(answer.infer_response.outputs[0].contents.fp32_contents) == SLEEP
    with pytest.raises(grpc.RpcError) as ended:
        next(stream)
    requests.put(None)
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert gateway.process.wait(20) == 0
    assert gateway.wait_for("gateway_stopped")["clean"]


def test_health_is_watched_into_the_drain(gateway: Any, caller: Caller) -> None:
    asked = health_pb2.HealthCheckRequest().SerializeToString()
    told = caller.channel.unary_stream("/grpc.health.v1.Health/Watch")(asked)
    assert health_pb2.HealthCheckResponse.FromString(next(told)).status == 1
    gateway.process.terminate()
    assert health_pb2.HealthCheckResponse.FromString(next(told)).status == 2
    assert gateway.process.wait(20) == 0


def test_several_processes_share_the_port(site: Any, gateway: Any) -> None:
    pair = site.start_gateway("--grpc-port", str(free_ports(1)[0]), "--processes", "2")
    pair.wait_for("gateway_child_listens", count=2)
    for _ in range(20):  # a connection each
        with connect(pair.grpc_url) as caller:
            assert caller.infer(ROW).code == "OK"
    wait_until(lambda: pair.metric("nv_inference_request_success", model="linear") == 20)


def test_a_taken_port_is_said_and_ends_the_start(site: Any, gateway: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inference", "gateway", "--data", str(site.data), "--port", "0", "--admin-port", "0",
         "--grpc-port", gateway.grpc_url.rpartition(":")[2]],
        capture_output=True, text=True, timeout=30, env={**os.environ, "REDIS_URL": ""},
    )  # fmt: skip
    assert done.returncode == 1
    assert "gateway_cannot_listen" in done.stdout + done.stderr
    assert "is it taken?" in done.stdout + done.stderr


def test_without_a_port_nothing_of_grpc_is_loaded(site: Any) -> None:
    gateway = site.start_gateway("--grpc-port", "0")
    assert gateway.call("GET", "/v2/health/live", key=None)[0] == 200
    assert not [mapped.path for mapped in psutil.Process(gateway.process.pid).memory_maps() if "cygrpc" in mapped.path]
