"""Clients of the field, unchanged, get right answers."""

import asyncio
from typing import Any

import ml_dtypes
import numpy as np
import pytest

KEY = {"Authorization": "Bearer sy_testtest_all"}
ROWS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.float32)


@pytest.fixture
def triton(shared: Any) -> Any:
    from tritonclient.http import InferenceServerClient

    client = InferenceServerClient(f"{shared.host}:{shared.port}", concurrency=2)
    yield client
    client.close()


def test_tritonclient_reads_health_and_metadata(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("linear")
    assert triton.is_model_ready("linear", "2")
    assert not triton.is_model_ready("idle")
    assert not triton.is_model_ready("none")
    assert triton.get_server_metadata()["name"] == "switchyard"
    assert triton.get_model_metadata("linear", headers=dict(KEY))["inputs"][0]["datatype"] == "FP32"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tritonclient_infers_in_json_and_binary(triton: Any, binary_in: bool, binary_out: bool) -> None:
    from tritonclient.http import InferInput, InferRequestedOutput

    given = InferInput("x", ROWS.shape, "FP32")
    given.set_data_from_numpy(ROWS, binary_data=binary_in)
    wanted = [InferRequestedOutput("y", binary_data=binary_out)]
    result = triton.infer("linear", [given], outputs=wanted, request_id="r1", headers=dict(KEY))
    assert np.array_equal(result.as_numpy("y"), ROWS)
    assert result.get_response()["id"] == "r1"
    assert result.get_response()["model_version"] == "1"


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("kind, values", [
    ("BYTES", np.array([["a", "grüße", ""]], dtype=object)), ("BOOL", np.array([[True, False, True]])),
    ("INT64", np.array([[-1, 0, 2**62]], dtype=np.int64)), ("UINT8", np.array([[0, 1, 255]], dtype=np.uint8)),
    ("FP64", np.array([[0.1, 0.2, 0.3]])),
])  # fmt: skip
def test_tritonclient_carries_other_datatypes(shared: Any, triton: Any, binary: bool, kind: str, values: Any) -> None:
    from tritonclient.http import InferInput

    fillers = {
        "BYTES": object, "BOOL": bool, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
        "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16,
        "BF16": ml_dtypes.bfloat16, "FP32": np.float32, "FP64": np.float64,
    }  # fmt: skip
    inputs = []
    for name, dtype in fillers.items():
        filler = values if name == kind else np.full((1, 3), "x", dtype) if dtype is object else np.zeros((1, 3), dtype)
        given = InferInput(f"in_{name}", (1, 3), name)
        given.set_data_from_numpy(filler, binary_data=binary or name in ("FP16", "BF16"))
        inputs.append(given)
    answer = triton.infer("golden", inputs, headers=dict(KEY)).as_numpy(f"out_{kind}")
    expected = np.array([[v.encode() for v in values[0]]], dtype=object) if kind == "BYTES" else values
    assert np.array_equal(answer, expected)


def test_tritonclient_shows_our_errors(triton: Any) -> None:
    from tritonclient.http import InferInput
    from tritonclient.utils import InferenceServerException

    given = InferInput("wrong", ROWS.shape, "FP32")
    given.set_data_from_numpy(ROWS)
    with pytest.raises(InferenceServerException, match="unknown: 'wrong'"):
        triton.infer("linear", [given], headers=dict(KEY))
    with pytest.raises(InferenceServerException, match="API key"):
        triton.infer("linear", [given])


def test_tritonclients_in_parallel(triton: Any) -> None:
    from tritonclient.http import InferInput

    pending = []
    for number in range(20):
        given = InferInput("x", (1, 4), "FP32")
        given.set_data_from_numpy(np.full((1, 4), number, np.float32))
        pending.append(triton.async_infer("linear", [given], headers=dict(KEY)))
    assert [int(request.get_result().as_numpy("y")[0, 0]) for request in pending] == list(range(20))


@pytest.mark.parametrize("binary", [True, False])
def test_kserves_client_infers(shared: Any, binary: bool) -> None:
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
    from kserve.protocol.infer_type import RequestedOutput

    async def ask() -> None:
        async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
            assert await client.is_server_live(shared.url)
            assert await client.is_server_ready(shared.url)
            assert await client.is_model_ready(shared.url, "linear")
            assert not await client.is_model_ready(shared.url, "idle")
            given = InferInput("x", list(ROWS.shape), "FP32")
            given.set_data_from_numpy(ROWS, binary_data=binary)
            outputs = [RequestedOutput("y", {"binary_data": binary})]
            request = InferRequest("linear", [given], request_id="k1", request_outputs=outputs)
            answer = await client.infer(shared.url, request, model_name="linear", headers=dict(KEY))
            assert answer.id == "k1"
            assert np.array_equal(answer.outputs[0].as_numpy(), ROWS)

    asyncio.run(ask())
