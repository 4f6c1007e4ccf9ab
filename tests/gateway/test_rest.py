"""The protocol over HTTP, as promised to clients."""

import json
import re
import struct
from typing import Any

import pytest

READ_KEY, LIMITED_KEY, EXPIRED_KEY = "sy_testtest_read", "sy_testtest_limited", "sy_testtest_expired"
X = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


@pytest.mark.parametrize("path, answer", [
    ("/v2/health/live", {"live": True}),
    ("/v2/health/ready", {"ready": True, "live": True}),
    ("/v2", {"name": "switchyard", "version": "0.1.0", "extensions": [
        "binary_tensor_data", "classification", "model_configuration", "parameters", "schedule_policy", "statistics",
    ]}),
    ("/v2/models/linear/ready", {"name": "linear", "ready": True}),
    ("/v2/models/linear/versions/2/ready", {"name": "linear", "ready": True}),
    ("/v2/models/linear/versions/best/ready", {"name": "linear", "ready": True}),
])  # fmt: skip
def test_health_needs_no_key(shared: Any, path: str, answer: dict[str, Any]) -> None:
    assert shared.call("GET", path, key=None)[:2] == (200, answer)


def test_models_and_their_metadata(shared: Any) -> None:
    assert shared.call("GET", "/v2/models", key=READ_KEY)[1]["models"] == [
        "chain",
        "golden",
        "idle",
        "linear",
        "strict",
    ]
    expected = {
        "name": "linear", "versions": ["1", "2"], "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
    }  # fmt: skip
    for path in (
        "/v2/models/linear",
        "/v2/models/linear/versions/2",
        "/v2/models/linear/",
        "/v2/models/linear?x=1",
        "http://host/v2/models/linear",
    ):
        assert shared.call("GET", path, key=READ_KEY)[:2] == (200, expected)
    assert shared.call("GET", "/v2/models/chain", key=READ_KEY)[1]["platform"] == "pytorch_pt2"


def test_an_inference_says_who_answered_why_and_how_long(shared: Any) -> None:
    status, body, headers = shared.call("POST", "/v2/models/linear/infer", {"id": "42", "inputs": [X]})
    assert status == 200
    assert body == {
        "model_name": "linear", "model_version": "1", "id": "42",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}],
    }  # fmt: skip
    assert headers["x-model-version"] == "1"
    assert headers["x-route-reason"] == "weighted"
    assert re.fullmatch(r"queue;dur=[\d.]+, compute;dur=[\d.]+, total;dur=[\d.]+", headers["server-timing"])
    assert headers["x-request-id"]


@pytest.mark.parametrize("given, kept", [("my-id-7", True), ("with space", False), ("x" * 129, False)])
def test_a_request_id_comes_back_if_it_can(shared: Any, given: str, kept: bool) -> None:
    headers = shared.infer([1, 2, 3, 4], X_Request_ID=given)[2]
    assert (headers["x-request-id"] == given) is kept


def test_the_trace_goes_on(shared: Any) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = shared.infer([1, 2, 3, 4], traceparent=f"00-{trace}-{span}-01")[2]
    version, same_trace, other_span, flags = headers["traceparent"].split("-")
    assert (version, same_trace, flags) == ("00", trace, "01")
    assert other_span != span
    assert "traceparent" not in shared.infer([1, 2, 3, 4], traceparent="nonsense")[2]


@pytest.mark.parametrize("version, headers, answered, reason", [
    ("2", {}, "2", "pinned"), ("best", {}, "2", "alias"), ("", {"X_Model_Version": "2"}, "2", "pinned"),
    ("", {"X_Model_Version": "best"}, "2", "alias"), ("1", {"X_Model_Version": "2"}, "1", "pinned"),
])  # fmt: skip
def test_a_client_may_pin_a_version(shared: Any, version: str, headers: dict, answered: str, reason: str) -> None:
    status, body, got = shared.infer([1, 2, 3, 4], version=version, **headers)
    assert (status, body["model_version"], got["x-model-version"], got["x-route-reason"]) == (
        200, answered, answered, reason,
    )  # fmt: skip


def test_units_are_chained(shared: Any) -> None:
    request = {"inputs": [{"name": "text", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4]]}]}
    status, body, _ = shared.call("POST", "/v2/models/chain/infer", request)
    assert status == 200
    assert body["outputs"] == [{"name": "label", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}]


def test_only_wanted_outputs_are_sent_in_the_wanted_order(shared: Any) -> None:
    inputs = golden_inputs()
    wanted = [{"name": "out_INT8"}, {"name": "out_BOOL"}]
    _, body, _ = shared.call("POST", "/v2/models/golden/infer", {"inputs": inputs, "outputs": wanted})
    assert [output["name"] for output in body["outputs"]] == ["out_INT8", "out_BOOL"]


def refused(answer: tuple[int, Any, dict]) -> tuple[int, str]:
    status, body, headers = answer
    assert set(body) == {"error", "code"}
    if status in (429, 503):
        assert int(headers["retry-after"]) >= 1
    return status, body["code"]


@pytest.mark.parametrize("method, path, options, expected", [
    ("GET", "/v2/models", {"key": None}, (401, "key_missing")),
    ("GET", "/v2/models", {"key": "sy_nobody"}, (401, "key_invalid")),
    ("GET", "/v2/models", {"key": EXPIRED_KEY}, (401, "key_invalid")),
    ("POST", "/v2/models/linear/infer", {"key": READ_KEY, "body": {"inputs": [X]}}, (403, "scope_missing")),
    ("POST", "/v2/models/linear/infer", {"key": LIMITED_KEY, "body": {"inputs": [X]}}, (403, "model_not_allowed")),
    ("GET", "/v2/models/linear", {"key": LIMITED_KEY}, (403, "model_not_allowed")),
    ("GET", "/v2/models/linear/versions/ready", {"key": None}, (401, "key_missing")),
    ("POST", "/v2/models/none/infer", {"body": {"inputs": [X]}}, (404, "model_not_found")),
    ("POST", "/v2/models/linear/versions/9/infer", {"body": {"inputs": [X]}}, (404, "version_not_found")),
    ("POST", "/v2/models/linear/versions/champion/infer", {"body": {"inputs": [X]}}, (404, "version_not_found")),
    ("GET", "/v2/models/none", {}, (404, "model_not_found")),
    ("GET", "/v2/models/none/ready", {"key": None}, (404, "model_not_found")),
    ("GET", "/v2/nothing", {}, (404, "path_not_found")),
    ("GET", "/", {}, (404, "path_not_found")),
    ("POST", "/v2/models//infer", {"body": {"inputs": [X]}}, (404, "path_not_found")),
    ("POST", "/v2/models/linear/versions/1/extra/infer", {"body": {"inputs": [X]}}, (404, "path_not_found")),
    ("GET", "/v2/models/linear/infer", {}, (405, "method_not_allowed")),
    ("DELETE", "/v2/models/linear", {}, (405, "method_not_allowed")),
    ("POST", "/v2/health/live", {}, (405, "method_not_allowed")),
    ("POST", "/v2/models/idle/infer", {"body": {"inputs": [X]}}, (503, "not_ready")),
    ("GET", "/v2/models/idle/ready", {"key": None}, (503, "not_ready")),
])  # fmt: skip
def test_the_error_table(shared: Any, method: str, path: str, options: dict, expected: tuple[int, str]) -> None:
    assert refused(shared.call(method, path, **options)) == expected


@pytest.mark.parametrize("body, says", [
    (b"", "empty"),
    (b"{", "not an inference request"),
    ({"inputs": []}, "no inputs"),
    ({"inputs": [{**X, "name": "z"}]}, "unknown: 'z'"),
    ({"inputs": [{**X, "datatype": "FP64"}]}, "takes FP32"),
    ({"inputs": [{**X, "shape": [4]}]}, "takes [-1, 4]"),
    ({"inputs": [{**X, "data": [1, 2, 3]}]}, "needs 4"),
    ({"inputs": [{**X, "shape": [0, 4], "data": []}]}, "no rows"),
    ({"inputs": [X, X]}, "twice: 'x'"),
    ({"inputs": [X], "outputs": [{"name": "z"}]}, "no output 'z'"),
    (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[NaN,0,0,0]}]}', "malformed"),
    (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":' + b"[" * 1_000_000, "deep"),
])  # fmt: skip
def test_bad_input_is_said_clearly_and_the_connection_lives(shared: Any, body: Any, says: str) -> None:
    answer = shared.call("POST", "/v2/models/linear/infer", body)
    assert refused(answer) == (400, "bad_input")
    assert says in answer[1]["error"]
    assert "connection" not in answer[2]


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "soon"])
def test_a_timeout_is_a_number_above_zero(shared: Any, timeout: str) -> None:
    assert refused(shared.infer([1, 2, 3, 4], X_Timeout_Ms=timeout)) == (400, "bad_input")


def test_nan_is_refused_where_the_signature_says_finite_and_passes_elsewhere(shared: Any) -> None:
    def send(model: str) -> tuple[int, Any, dict]:
        item = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
        head = json.dumps({"inputs": [item], "parameters": {"binary_data_output": True}}).encode()
        raw = head + struct.pack("<4f", float("nan"), 1, 2, 3)
        return shared.call("POST", f"/v2/models/{model}/infer", raw, Inference_Header_Content_Length=str(len(head)))

    assert refused(send("strict")) == (400, "bad_input")
    assert send("linear")[0] == 200


def test_an_answer_that_json_cannot_carry_is_an_error(shared: Any) -> None:
    assert refused(shared.infer([999.0, 0, 0, 0])) == (500, "output_not_finite")


def test_a_failing_model_fails_its_request_alone(shared: Any) -> None:
    status, body, _ = shared.infer([888.0, 0, 0, 0])
    assert (status, body["code"]) == (500, "model_failed")
    assert "Traceback" not in body["error"]
    assert shared.infer([1, 2, 3, 4])[0] == 200


@pytest.mark.parametrize("how", ["header", "parameter"])
def test_a_deadline_ends_the_wait(shared: Any, how: str) -> None:
    request: dict[str, Any] = {"inputs": [{**X, "data": [777.0, 0, 0, 0]}]}
    headers = {"X_Timeout_Ms": "50"} if how == "header" else {}
    if how == "parameter":
        request["parameters"] = {"timeout": 50_000}
    status, body, _ = shared.call("POST", "/v2/models/linear/infer", request, **headers)
    assert (status, body["code"]) == (504, "deadline_passed")


GOLDEN: dict[str, tuple[list[Any], bytes]] = {
    "BOOL": ([True, False, True], b"\x01\x00\x01"),
    "UINT8": ([0, 7, 255], struct.pack("<3B", 0, 7, 255)),
    "UINT16": ([0, 7, 65535], struct.pack("<3H", 0, 7, 65535)),
    "UINT32": ([0, 7, 2**32 - 1], struct.pack("<3I", 0, 7, 2**32 - 1)),
    "UINT64": ([0, 7, 2**64 - 1], struct.pack("<3Q", 0, 7, 2**64 - 1)),
    "INT8": ([-128, 7, 127], struct.pack("<3b", -128, 7, 127)),
    "INT16": ([-32768, 7, 32767], struct.pack("<3h", -32768, 7, 32767)),
    "INT32": ([-(2**31), 7, 2**31 - 1], struct.pack("<3i", -(2**31), 7, 2**31 - 1)),
    "INT64": ([-(2**63), 7, 2**63 - 1], struct.pack("<3q", -(2**63), 7, 2**63 - 1)),
    "FP16": ([0.5, -1.0, 65504.0], struct.pack("<3e", 0.5, -1.0, 65504.0)),
    "BF16": ([0.5, -1.0, 2.0], struct.pack("<3H", 0x3F00, 0xBF80, 0x4000)),
    "FP32": ([0.5, -1.0, 3.0], struct.pack("<3f", 0.5, -1.0, 3.0)),
    "FP64": ([0.1, -1.0, 1e300], struct.pack("<3d", 0.1, -1.0, 1e300)),
    "BYTES": (["", "ab", "grüße"], b"".join(struct.pack("<I", len(w)) + w for w in (b"", b"ab", "grüße".encode()))),
}


def golden_inputs(binary: bool = False) -> list[dict[str, Any]]:
    return [
        {"name": f"in_{kind}", "datatype": kind, "shape": [1, 3],
         **({"parameters": {"binary_data_size": len(raw)}} if binary else {"data": values})}
        for kind, (values, raw) in GOLDEN.items()
    ]  # fmt: skip


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
def test_every_datatype_in_every_encoding_gives_the_same_answer(shared: Any, binary_in: bool, binary_out: bool) -> None:
    request = {"inputs": golden_inputs(binary_in), "parameters": {"binary_data_output": binary_out}}
    head = json.dumps(request).encode()
    tail = b"".join(raw for _, raw in GOLDEN.values()) if binary_in else b""
    sent = {"Inference_Header_Content_Length": str(len(head))} if binary_in else {}
    status, body, headers = shared.call("POST", "/v2/models/golden/infer", head + tail, **sent)
    assert status == 200
    if not binary_out:
        assert {output["name"]: output["data"] for output in body["outputs"]} == {
            f"out_{kind}": values for kind, (values, _) in GOLDEN.items()
        }
        return
    assert headers["content-type"] == "application/octet-stream"
    length = int(headers["inference-header-content-length"])
    offset = length
    for output, (kind, (_, raw)) in zip(json.loads(body[:length])["outputs"], GOLDEN.items(), strict=True):
        size = output["parameters"]["binary_data_size"]
        assert (output["name"], output["datatype"], output["shape"]) == (f"out_{kind}", kind, [1, 3])
        assert body[offset : offset + size] == raw
        offset += size
    assert offset == len(body)


def test_a_raw_body_is_one_row_and_answered_in_binary(shared: Any) -> None:
    raw = struct.pack("<4f", 1, 2, 3, 4)
    status, body, headers = shared.call("POST", "/v2/models/linear/infer", raw, Inference_Header_Content_Length="0")
    assert status == 200
    assert body[int(headers["inference-header-content-length"]) :] == raw


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "999"])
def test_a_wrong_head_length_is_refused(shared: Any, length: str) -> None:
    answer = shared.call("POST", "/v2/models/linear/infer", b"{}", Inference_Header_Content_Length=length)
    assert refused(answer) == (400, "bad_input")
