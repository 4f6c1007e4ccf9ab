"""Triton's extensions over HTTP: classification, configuration, statistics, the repository, and what is not offered."""

import concurrent.futures
import json
import struct
from typing import Any

import numpy as np
import pytest

READ_KEY, LIMITED_KEY = "sy_testtest_read", "sy_testtest_limited"
KEY = {"Authorization": "Bearer sy_testtest_all"}
ROWS = np.array([[0.25, 4, 1, 2], [9, 8, 7, 6]], dtype=np.float32)


def infer_classes(shared: Any, k: Any, **output: Any) -> tuple[int, Any]:
    x = {"name": "x", "datatype": "FP32", "shape": [2, 4], "data": ROWS.tolist()}
    wanted = [{"name": "y", "parameters": {"classification": k, **output}}]
    return shared.call("POST", "/v2/models/linear/infer", {"inputs": [x], "outputs": wanted})[:2]


def test_an_output_comes_as_its_best_classes(shared: Any) -> None:
    status, body = infer_classes(shared, 2)
    assert status == 200
    assert body["outputs"] == [
        {"name": "y", "datatype": "BYTES", "shape": [2, 2], "data": ["4.0:1", "2.0:3", "9.0:0", "8.0:1"]}
    ]


def test_tritonclient_reads_classes_in_binary(shared: Any) -> None:
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

    client = InferenceServerClient(f"{shared.host}:{shared.port}")
    given = InferInput("x", ROWS.shape, "FP32")
    given.set_data_from_numpy(ROWS)
    answer = client.infer("linear", [given], outputs=[InferRequestedOutput("y", class_count=1)], headers=dict(KEY))
    assert answer.as_numpy("y").tolist() == [[b"4.0:1"], [b"9.0:0"]]
    client.close()


@pytest.mark.parametrize("k", [-1, "three", True])
def test_classes_are_counted_in_whole_numbers(shared: Any, k: Any) -> None:
    status, body = infer_classes(shared, k)
    assert (status, body["code"]) == (400, "bad_input")


def test_the_configuration_is_what_is_so(shared: Any) -> None:
    status, config, _ = shared.call("GET", "/v2/models/linear/config", key=READ_KEY)
    assert status == 200
    assert (config["name"], config["platform"], config["max_batch_size"]) == ("linear", "onnxruntime_onnx", 32)
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]
    assert config["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": [4]}]
    assert config["instance_group"] == [{"name": "main", "kind": "KIND_CPU", "count": 1}]
    assert config["dynamic_batching"]["default_queue_policy"]["max_queue_size"] == 2048
    assert shared.call("GET", "/v2/models/golden/config")[1]["input"][-1]["data_type"] == "TYPE_STRING"
    assert len(shared.call("GET", "/v2/models/chain/versions/1/config")[1]["instance_group"]) == 3
    assert shared.call("GET", "/v2/models/none/config")[0] == 404
    assert shared.call("GET", "/v2/models/linear/config", key=LIMITED_KEY)[0] == 403


def stats(gateway: Any, path: str = "/v2/models/linear/versions/1/stats") -> dict[str, Any]:
    status, body, _ = gateway.call("GET", path)
    assert status == 200
    return body["model_stats"][0]


def test_statistics_count_rows_batches_failures_and_time(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)))
    gateway = site.start_gateway()
    none = stats(gateway)
    assert (none["name"], none["version"], none["inference_count"], none["last_inference"]) == ("linear", "1", 0, 0)
    for rows in (1, 1, 3):
        assert gateway.infer([1.0, 0, 0, 0] * rows)[0] == 200
    assert gateway.infer([888.0, 0, 0, 0])[0] == 500
    some = stats(gateway)
    assert (some["inference_count"], some["execution_count"]) == (5, 4)
    assert some["last_inference"] > 1_600_000_000_000
    inference = some["inference_stats"]
    assert {name: stat["count"] for name, stat in inference.items()} == {
        "success": 3, "fail": 1, "queue": 3, "compute_input": 4, "compute_infer": 4, "compute_output": 4,
        "cache_hit": 0, "cache_miss": 0,
    }  # fmt: skip
    assert inference["success"]["ns"] > inference["queue"]["ns"] > 0
    assert inference["fail"]["ns"] > 0
    assert {batch["batch_size"]: batch["compute_infer"]["count"] for batch in some["batch_stats"]} == {1: 3, 3: 1}
    assert sum(batch["compute_infer"]["ns"] for batch in some["batch_stats"]) == inference["compute_infer"]["ns"]
    assert len(gateway.call("GET", "/v2/models/stats", key=READ_KEY)[1]["model_stats"]) == 1
    assert gateway.call("GET", "/v2/models/stats", key=LIMITED_KEY)[1] == {"model_stats": []}
    assert gateway.call("GET", "/v2/models/none/stats")[0] == 404


def test_statistics_of_several_processes_are_one_and_know_what_was_just_answered(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)))
    gateway = site.start_gateway("--processes", "2")
    gateway.wait_for("gateway_child_listens", count=2)
    counted = 0
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert [future.result()[0] for future in [pool.submit(gateway.infer, [1.0] * 4) for _ in range(12)]] == [
                200
            ] * 12
            counted += 12
            asked = [pool.submit(stats, gateway) for _ in range(8)]
            assert [future.result()["inference_stats"]["success"]["count"] for future in asked] == [counted] * 8


def test_tritonclient_reads_statistics_config_and_index(shared: Any) -> None:
    from tritonclient.http import InferenceServerClient

    client = InferenceServerClient(f"{shared.host}:{shared.port}")
    assert client.get_inference_statistics("linear", "1", headers=dict(KEY))["model_stats"][0]["version"] == "1"
    assert client.get_model_config("linear", headers=dict(KEY))["max_batch_size"] == 32
    assert {model["name"] for model in client.get_model_repository_index(headers=dict(KEY))} >= {"linear", "idle"}
    client.close()


def test_the_index_says_what_is_ready_and_why_something_is_not(shared: Any) -> None:
    status, index, _ = shared.call("POST", "/v2/repository/index", key=READ_KEY)
    assert status == 200
    assert {"name": "linear", "version": "2", "state": "READY", "reason": ""} in index
    assert {"name": "idle", "version": "1", "state": "UNAVAILABLE", "reason": "no replica of main"} in index
    ready = shared.call("POST", "/v2/repository/index", {"ready": True})[1]
    assert {entry["state"] for entry in ready} == {"READY"}
    assert shared.call("POST", "/v2/repository/index", key=LIMITED_KEY)[1] == []
    assert shared.call("POST", "/v2/repository/index", b"[]")[0] == 400
    assert shared.call("GET", "/v2/repository/index")[0] == 405


@pytest.mark.parametrize("method, path, says", [
    ("POST", "/v2/repository/models/linear/load", "scope 'operate'"),
    ("POST", "/v2/repository/named/index", "no name"),
    ("GET", "/v2/systemsharedmemory/status", "overwrite the server's own memory"),
    ("POST", "/v2/systemsharedmemory/region/r/register", "overwrite the server's own memory"),
    ("GET", "/v2/cudasharedmemory/status", "overwrite the server's own memory"),
    ("GET", "/v2/trace/setting", "traceparent"),
    ("POST", "/v2/models/linear/trace/setting", "traceparent"),
    ("GET", "/v2/logging", "SWITCHYARD_LOG_LEVEL"),
    ("POST", "/v2/models/linear/generate", "not served"),
    ("POST", "/v2/models/linear/generate_stream", "not served"),
])  # fmt: skip
def test_what_is_not_offered_says_why(shared: Any, method: str, path: str, says: str) -> None:
    status, body, _ = shared.call(method, path)
    assert status == (403 if "operate" in says else 501)
    assert says in body["error"]


def test_without_a_controller_nothing_is_loaded_or_claimed(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.publish("spec", "linear", builders["model"]("linear", builders["version"](1, signature)))
    gateway = site.start_gateway()
    operator = "sy_testtest_operate"
    status, body, _ = gateway.call("POST", "/v2/repository/models/linear/unload", key=operator)
    assert (status, body["code"]) == (501, "unsupported")
    assert "model_repository" not in gateway.call("GET", "/v2")[1]["extensions"]
    given = json.dumps({"parameters": {"config": "{}"}}).encode()
    status, body, _ = gateway.call("POST", "/v2/repository/models/linear/load", given, key=operator)
    assert (status, "registered in the console" in body["error"]) == (501, True)


def test_a_shared_memory_tensor_is_refused_with_the_reason(shared: Any) -> None:
    region = {"shared_memory_region": "r", "shared_memory_byte_size": 16}
    x = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": region}
    status, body, _ = shared.call("POST", "/v2/models/linear/infer", {"inputs": [x]})
    assert (status, body["code"]) == (501, "unsupported")
    assert "overwrite the server's own memory" in body["error"]


@pytest.mark.parametrize("rows", [33, 64, 100])
def test_more_rows_than_a_batch_holds_are_answered_in_order(shared: Any, rows: int) -> None:
    values = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    item = {"name": "x", "datatype": "FP32", "shape": [rows, 4], "parameters": {"binary_data_size": values.nbytes}}
    head = json.dumps({"inputs": [item], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference_Header_Content_Length": str(len(head))}
    status, body, headers = shared.call("POST", "/v2/models/linear/infer", head + values.tobytes(), **length)
    assert status == 200
    assert body[int(headers["inference-header-content-length"]) :] == values.tobytes()


def test_parts_pass_a_chain_and_carry_text(shared: Any) -> None:
    text = {"name": "text", "datatype": "FP32", "shape": [70, 2], "data": [float(n) for n in range(140)]}
    status, body, _ = shared.call("POST", "/v2/models/chain/infer", {"inputs": [text]})
    assert (status, body["outputs"][0]["shape"]) == (200, [70, 2])
    assert body["outputs"][0]["data"] == text["data"]


def test_one_failing_part_fails_the_request_whole(shared: Any) -> None:
    values = [0.0] * 4 * 64
    values[4 * 40] = 888.0
    status, body, _ = shared.infer(values)
    assert (status, body["code"]) == (500, "model_failed")


def test_a_deadline_holds_for_all_parts(shared: Any) -> None:
    values = [777.0, 0.0, 0.0, 0.0] * 96  # three batches that sleep, one after another
    status, body, _ = shared.infer(values, X_Timeout_Ms="300")
    assert (status, body["code"]) == (504, "deadline_passed")
    assert shared.infer([1, 2, 3, 4])[0] == 200


def test_there_is_an_end_to_how_much_one_request_may_bring(shared: Any) -> None:
    rows = 64 * 32 + 1
    item = {"name": "x", "datatype": "FP32", "shape": [rows, 4], "parameters": {"binary_data_size": rows * 16}}
    head = json.dumps({"inputs": [item]}).encode()
    raw = head + struct.pack("<4f", 1, 2, 3, 4) * rows
    length = {"Inference_Header_Content_Length": str(len(head))}
    status, body, _ = shared.call("POST", "/v2/models/linear/infer", raw, **length)
    assert (status, body["code"]) == (400, "bad_input")
    assert "64 batches of 32" in body["error"]
