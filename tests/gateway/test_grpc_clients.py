"""gRPC clients of the field, unchanged, get right answers."""

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.grpc_calls import import_tritonclient_grpc

KEY = {"authorization": "Bearer sy_testtest_all"}
ROWS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.float32)


@pytest.fixture(scope="module")
def tritongrpc() -> Any:
    return import_tritonclient_grpc()


@pytest.fixture
def triton(shared: Any, tritongrpc: Any) -> Iterator[Any]:
    client = tritongrpc.InferenceServerClient(shared.grpc_url)
    yield client
    client.close()


def given(tritongrpc: Any, values: np.ndarray = ROWS, name: str = "x", kind: str = "FP32") -> Any:
    made = tritongrpc.InferInput(name, values.shape, kind)
    made.set_data_from_numpy(values)
    return made


def test_tritonclient_reads_health_and_metadata(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("linear")
    assert triton.is_model_ready("linear", "2")
    assert not triton.is_model_ready("idle")
    assert not triton.is_model_ready("none")
    assert triton.get_server_metadata().name == "switchyard"
    metadata = triton.get_model_metadata("linear", headers=KEY, as_json=True)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}]


def test_tritonclient_infers(triton: Any, tritongrpc: Any) -> None:
    wanted = [tritongrpc.InferRequestedOutput("y")]
    result = triton.infer("linear", [given(tritongrpc)], "2", wanted, request_id="r1", headers=KEY)
    assert np.array_equal(result.as_numpy("y"), ROWS)
    assert (result.get_response().id, result.get_response().model_version) == ("r1", "2")


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_tritonclient_compresses(triton: Any, tritongrpc: Any, compression: str) -> None:
    result = triton.infer("linear", [given(tritongrpc)], headers=KEY, compression_algorithm=compression)
    assert np.array_equal(result.as_numpy("y"), ROWS)


def test_tritonclient_carries_every_datatype(triton: Any, tritongrpc: Any) -> None:
    kinds: dict[str, Any] = {
        "BYTES": object, "BOOL": bool, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
        "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16,
        "BF16": ml_dtypes.bfloat16, "FP32": np.float32, "FP64": np.float64,
    }  # fmt: skip
    values = {
        kind: np.array([["a", "grüße", ""]], object) if kind == "BYTES" else np.array([[1, 0, 1]], dtype)
        for kind, dtype in kinds.items()
    }
    inputs = [given(tritongrpc, array, f"in_{kind}", kind) for kind, array in values.items()]
    result = triton.infer("golden", inputs, headers=KEY)
    for kind, array in values.items():
        expected = np.array([[text.encode() for text in array[0]]], object) if kind == "BYTES" else array
        assert np.array_equal(result.as_numpy(f"out_{kind}"), expected), kind


def test_tritonclient_shows_our_errors(triton: Any, tritongrpc: Any) -> None:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException, match="unknown: 'wrong'") as refused:
        triton.infer("linear", [given(tritongrpc, name="wrong")], headers=KEY)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException, match="API key"):
        triton.infer("linear", [given(tritongrpc)])


def test_tritonclients_in_parallel(triton: Any, tritongrpc: Any) -> None:
    answers: queue.Queue[tuple[int, Any, Any]] = queue.Queue()
    for number in range(50):
        row = given(tritongrpc, np.full((1, 4), number, np.float32))
        triton.async_infer(
            "linear", [row], lambda result, error, n=number: answers.put((n, result, error)), headers=KEY
        )
    for _ in range(50):
        number, result, error = answers.get(timeout=20)
        assert error is None
        assert int(result.as_numpy("y")[0, 0]) == number


def test_tritonclient_streams(triton: Any, tritongrpc: Any) -> None:
    """More than a stream has in hand at once, one of them wrong: answers in order, and the stream goes on."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    triton.start_stream(lambda result, error: answers.put((result, error)), headers=KEY)
    for number in range(200):
        model = "none" if number == 100 else "linear"
        triton.async_stream_infer(
            model, [given(tritongrpc, np.full((1, 4), number, np.float32))], request_id=str(number)
        )
    for number in range(200):
        result, error = answers.get(timeout=20)
        if number == 100:
            assert "No model is called 'none'" in str(error)
            continue
        assert result.get_response().id == str(number)
        assert result.as_numpy("y")[0, 0] == number
        assert result.get_response().parameters["triton_final_response"].bool_param
    triton.stop_stream()


def test_tritonclients_asyncio_infers(shared: Any, tritongrpc: Any) -> None:
    from tritonclient.grpc import aio

    async def ask() -> None:
        async with aio.InferenceServerClient(shared.grpc_url) as client:
            assert await client.is_model_ready("linear")
            result = await client.infer("linear", [given(tritongrpc)], headers=KEY)
            assert np.array_equal(result.as_numpy("y"), ROWS)

    asyncio.run(ask())


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_kserves_client_infers(shared: Any, raw: bool) -> None:
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    async def ask() -> None:
        async with InferenceGRPCClient(shared.grpc_url) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("linear")
            assert not await client.is_model_ready("idle")
            tensor = InferInput("x", list(ROWS.shape), "FP32", None if raw else ROWS.ravel().tolist())
            if raw:
                tensor.set_data_from_numpy(ROWS, binary_data=True)
            request = InferRequest("linear", [tensor], request_id="k1")
            answer = await client.infer(request, headers=tuple(KEY.items()))
            assert answer.id == "k1"
            assert np.array_equal(answer.outputs[0].as_numpy(), ROWS)

    asyncio.run(ask())
