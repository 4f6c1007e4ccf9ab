"""KServe's v1 protocol: rows in, predictions out, by hand and with KServe's own client."""

import asyncio
import base64
from typing import Any

import pytest

KEY = {"Authorization": "Bearer sy_testtest_all"}


def predict(shared: Any, body: Any, model: str = "linear", **headers: str) -> tuple[int, Any]:
    return shared.call("POST", f"/v1/models/{model}:predict", body, **headers)[:2]


@pytest.mark.parametrize("body", [
    {"instances": [[1, 2, 3, 4], [5, 6, 7, 8.5]]},
    {"instances": [{"x": [1, 2, 3, 4]}, {"x": [5, 6, 7, 8.5]}]},
    {"inputs": [[1, 2, 3, 4], [5, 6, 7, 8.5]]},
    {"inputs": {"x": [[1, 2, 3, 4], [5, 6, 7, 8.5]]}},
    {"instances": [[1, 2, 3, 4], [5, 6, 7, 8.5]], "signature_name": "serving_default"},
])  # fmt: skip
def test_rows_and_columns_give_predictions(shared: Any, body: dict[str, Any]) -> None:
    assert predict(shared, body) == (200, {"predictions": [[1, 2, 3, 4], [5, 6, 7, 8.5]]})


def test_several_inputs_and_outputs_are_named(shared: Any) -> None:
    texts, bits = ["", "ab", {"b64": base64.b64encode(b"\xff\x00").decode()}], [True, False, True]
    row = {
        f"in_{kind}": [0, 1, 2] for kind in ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
    }
    row |= {f"in_{kind}": [0.5, 1, 2] for kind in ("FP16", "BF16", "FP32", "FP64")}
    row |= {"in_BOOL": bits, "in_BYTES": texts}
    status, body = predict(shared, {"instances": [row, row]}, "golden")
    assert status == 200
    assert body["predictions"] == [{name.replace("in_", "out_"): value for name, value in row.items()}] * 2


@pytest.mark.parametrize("body, says", [
    (b"", "not a predict request"), (b"[]", "not a predict request"), ({}, "one of them"),
    ({"instances": []}, "at least one"),
    ({"instances": [[1, 2, 3, 4]], "inputs": [[1, 2, 3, 4]]}, "one of them"),
    ({"instances": [[1, 2, 3]]}, "takes [-1, 4]"), ({"instances": [[1, 2, 3, 4], [1, 2, 3]]}, "row of 3"),
    ({"instances": [["a", "b", "c", "d"]]}, "Expected `float`"), ({"instances": [{"z": [1, 2, 3, 4]}]}, "takes x"),
    ({"instances": 7}, "not a predict request"), ({"inputs": {"z": [[1]]}}, "takes x"),
    ({"instances": [{"b64": "AAAA"}]}, "x"), ({"instances": [None]}, "x"),
    (b'{"instances":[[NaN,1,2,3]]}', "malformed"),
    (b'{"instances":' + b"[" * 100_000, "not a predict request"),
])  # fmt: skip
def test_what_does_not_fit_is_said(shared: Any, body: Any, says: str) -> None:
    status, answer = predict(shared, body)
    assert (status, answer["code"]) == (400, "bad_input")
    assert says in answer["error"]


def test_more_instances_than_a_batch_holds(shared: Any) -> None:
    rows = [[float(n), 0, 0, 0] for n in range(100)]
    assert predict(shared, {"instances": rows}) == (200, {"predictions": rows})


def test_an_answer_that_json_cannot_carry_is_an_error(shared: Any) -> None:
    assert predict(shared, {"instances": [[999, 0, 0, 0]]})[1]["code"] == "output_not_finite"


@pytest.mark.parametrize("method, path, key, expected", [
    ("POST", "/v1/models/none:predict", "sy_testtest_all", (404, "model_not_found")),
    ("POST", "/v1/models/linear:predict", "sy_testtest_limited", (403, "model_not_allowed")),
    ("POST", "/v1/models/linear:predict", "sy_testtest_read", (403, "scope_missing")),
    ("POST", "/v1/models/linear:predict", None, (401, "key_missing")),
    ("GET", "/v1/models/linear:predict", "sy_testtest_all", (405, "method_not_allowed")),
    ("POST", "/v1/models/linear:explain", "sy_testtest_all", (501, "unsupported")),
])  # fmt: skip
def test_errors_have_kserves_form(shared: Any, method: str, path: str, key: str, expected: tuple[int, str]) -> None:
    status, body, _ = shared.call(method, path, {"instances": [[1, 2, 3, 4]]}, key=key)
    assert (status, body["code"]) == expected
    assert isinstance(body["error"], str)


def test_models_and_their_state(shared: Any) -> None:
    assert "linear" in shared.call("GET", "/v1/models")[1]["models"]
    assert shared.call("GET", "/v1/models/linear")[:2] == (200, {"name": "linear", "ready": True})
    assert shared.call("GET", "/v1/models/idle")[:2] == (200, {"name": "idle", "ready": False})


def test_kserves_client_speaks_v1(shared: Any) -> None:
    from kserve import InferenceRESTClient, RESTConfig

    async def ask() -> None:
        async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
            assert await client.is_model_ready(shared.url, "linear", headers=dict(KEY))
            assert not await client.is_model_ready(shared.url, "idle", headers=dict(KEY))
            answer = await client.infer(
                shared.url, {"instances": [[1, 2, 3, 4]]}, model_name="linear", headers=dict(KEY)
            )
            assert answer == {"predictions": [[1, 2, 3, 4]]}

    asyncio.run(ask())
