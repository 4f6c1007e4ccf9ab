"""OpenAI's client, unchanged, gets embeddings from a real tokenizer and a real model."""

import base64
import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from support.local import Local, run_local
from support.replicas import tiny_version
from support.versions import make_model
from support.words import SIZE, ids_version, words_version

RED, GREEN, BLUE = [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]


@pytest.fixture(scope="module")
def served() -> Iterator[Local]:
    """`words` takes text, `ids` takes tokens, `tiny` is no embedding model."""
    with tempfile.TemporaryDirectory(prefix="sy-", ignore_cleanup_errors=True) as name:
        folder, store = Path(name), Path(name) / "store"
        versions = {"words": words_version(store), "ids": ids_version(store), "tiny": tiny_version(store)}
        with run_local(folder, *(make_model(model, version) for model, version in versions.items())) as local:
            yield local


@pytest.fixture(scope="module")
def client(served: Local) -> Iterator[Any]:
    from openai import OpenAI

    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as made:
        yield made


def post(served: Local, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(f"{served.url}/v1/embeddings", content=content, headers=served.headers)


def test_the_client_embeds_one_text_and_many(client: Any) -> None:
    one = client.embeddings.create(model="words", input="red")
    assert one.data[0].embedding == RED
    assert (one.model, one.object, one.data[0].object) == ("words", "list", "embedding")
    many = client.embeddings.create(model="words", input=["blue", "red", "green"])
    assert [item.embedding for item in many.data] == [BLUE, RED, GREEN]
    assert [item.index for item in many.data] == [0, 1, 2]


@pytest.mark.parametrize("text, tokens", [("red", 1), ("red green blue", 3), ("red " * 40, 16), ("yellow red", 2)])
def test_usage_is_what_the_tokenizer_counted(client: Any, text: str, tokens: int) -> None:
    usage = client.embeddings.create(model="words", input=text).usage
    assert (usage.prompt_tokens, usage.total_tokens) == (tokens, tokens)


def test_padding_is_not_counted_and_parts_add_up(client: Any) -> None:
    texts = ["red", "red green blue"] * 15  # more rows than a batch holds
    answer = client.embeddings.create(model="words", input=texts)
    assert answer.usage.prompt_tokens == (1 + 3) * 15
    assert [item.embedding for item in answer.data[::2]] == [RED] * 15


def test_floats_and_base64_are_the_same_vectors(served: Local) -> None:
    body = {"model": "words", "input": ["red green", "blue"]}
    floats = post(served, {**body, "encoding_format": "float"}).json()["data"]
    encoded = post(served, {**body, "encoding_format": "base64"}).json()["data"]
    for as_floats, as_text in zip(floats, encoded, strict=True):
        raw = base64.b64decode(as_text["embedding"])
        assert list(struct.unpack(f"<{SIZE}f", raw)) == as_floats["embedding"]
    assert np.allclose(floats[0]["embedding"], np.array([0, 0.5, 1, 0]) / np.sqrt(1.25), atol=1e-6)


def test_token_ids_go_to_a_model_that_takes_them(client: Any) -> None:
    one = client.embeddings.create(model="ids", input=[2, 3])
    assert (one.data[0].embedding, one.usage.prompt_tokens) == ([0, 1, 2, 0], 2)
    two = client.embeddings.create(model="ids", input=[[2], [3, 4, 4]])
    assert [item.embedding for item in two.data] == [[0, 1, 0, 0], [0, 0, 2, 8]]
    assert two.usage.prompt_tokens == 4


def test_the_client_lists_and_reads_models(served: Local, client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["ids", "words"]
    model = client.models.retrieve("words")
    assert (model.id, model.object, model.owned_by) == ("words", "model", "switchyard")
    raw = httpx.get(f"{served.url}/v1/models", headers=served.headers).json()
    assert raw["models"] == ["ids", "tiny", "words"]
    assert httpx.get(f"{served.url}/v1/models/tiny", headers=served.headers).json() == {"name": "tiny", "ready": True}


def test_the_clients_errors_say_what_is_wrong(served: Local, client: Any) -> None:
    import openai

    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="none", input="red")
    assert (unknown.value.code, unknown.value.type) == ("model_not_found", "invalid_request_error")
    with pytest.raises(openai.AuthenticationError) as nobody:
        client.with_options(api_key="sy_nobody").embeddings.create(model="words", input="red")
    assert nobody.value.code == "key_invalid"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


@pytest.mark.parametrize("change, param, says", [
    ({"input": []}, "input", "takes a text"),
    ({"input": [""], "dimensions": 2}, "dimensions", "4 dimensions"),
    ({"input": [1, 2]}, "input", "send strings"),
    ({"input": [[1, 2]]}, "input", "send strings"),
    ({"input": ["red", 7]}, "input", "among its texts"),
    ({"input": {"text": "red"}}, "input", "takes a text"),
    ({"input": ["red"] * 2049}, "input", "at most 2048"),
    ({"input": "red", "model": "ids"}, "input", "token ids"),
    ({"input": [[]], "model": "ids"}, "input", "none of them empty"),
    ({"input": [[1, -1]], "model": "ids"}, "input", "none of them empty"),
    ({"input": [[1, True]], "model": "ids"}, "input", "none of them empty"),
    ({"encoding_format": "hex"}, "encoding_format", "encoding_format"),
    ({"dimensions": "many"}, "dimensions", "dimensions"),
    ({"model": "tiny"}, "model", "GET /v1/models"),
    ({"model": 7}, "model", "model"),
])  # fmt: skip
def test_a_wrong_field_is_named(served: Local, change: dict[str, Any], param: str, says: str) -> None:
    answer = post(served, {"model": "words", "input": "red", **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert says in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model":"words"}', b"[" * 100_000])
def test_what_is_no_request_is_said_to_be_none(served: Local, body: bytes) -> None:
    answer = post(served, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("The body is not an embeddings request")


def test_dimensions_may_say_what_is_so(client: Any) -> None:
    assert len(client.embeddings.create(model="words", input="red", dimensions=SIZE).data[0].embedding) == SIZE


def test_headers_mean_what_they_mean_elsewhere(served: Local) -> None:
    headers = {**served.headers, "X-Timeout-Ms": "nonsense"}
    body = json.dumps({"model": "words", "input": "red"})
    answer = httpx.post(f"{served.url}/v1/embeddings", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_input")
    answer = httpx.post(f"{served.url}/v1/embeddings", content=body, headers={**served.headers, "X-Request-ID": "e1"})
    assert (answer.headers["x-model-version"], answer.headers["x-request-id"]) == ("1", "e1")


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/v1/embeddings", 405), ("POST", "/v1/models", 405), ("GET", "/v1/nothing", 404), ("GET", "/v1", 404),
    ("GET", "/v1/models/none", 404),
])  # fmt: skip
def test_errors_have_openais_form(served: Local, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, served.url + path, headers=served.headers)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    nobody = httpx.request(method, served.url + path)
    assert (nobody.status_code, nobody.json()["error"]["type"]) == (401, "authentication_error")
