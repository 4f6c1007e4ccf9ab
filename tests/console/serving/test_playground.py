"""The playground sends what a client would send, in bounds, and shows what came back; its snippets work as copied."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.gateway_stand import Stand, stand_in

from console.accounts.services import console_key, create_api_key
from console.lib.errors import BadGateway, GatewayTimeout, Invalid, NotAllowed, NotReady, TooLarge
from console.serving.oip import encode_request, request_from_values
from console.serving.selectors import playground_inputs
from console.serving.services import infer
from console.serving.snippets import snippets
from inference import spec
from inference.protocol.binary_codec import decode_request as decode_binary
from inference.protocol.json_codec import decode_request as decode_json

pytestmark = pytest.mark.django_db
PNG = bytes([0x89, 0x50, 0x4E, 0x47, 0, 255, 254, 0x27])
TEXT = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["it's “fine” \\ $HOME\n`x`"]}]}
IMAGE = {
    "inputs": [
        {"name": "image", "datatype": "BYTES", "shape": [1], "data": [{"b64": base64.b64encode(PNG).decode()}]},
        {"name": "n", "datatype": "INT32", "shape": [1], "data": [3]},
    ]
}


@pytest.fixture
def gateway(settings: Any) -> Iterator[Stand]:
    with stand_in() as stand:
        settings.GATEWAY_URL = settings.GATEWAY_PUBLIC_URL = stand.url
        yield stand


def test_an_answer_comes_with_version_and_timing(gateway: Stand, model: Any, viewer: Any) -> None:
    gateway.body = b'{"model_name": "echo", "model_version": "3", "outputs": []}'
    gateway.headers = {"Server-Timing": "queue;dur=0.25, compute;dur=7", "X-Cache": "MISS", "X-Secret": "no"}
    answer = infer(model=model, body=TEXT, actor=viewer, version="stable")
    assert (answer.status, answer.version, answer.timing_ms) == (200, 3, {"queue": 0.25, "compute": 7.0})
    assert answer.headers == {"server-timing": "queue;dur=0.25, compute;dur=7", "x-cache": "MISS"}
    (sent,) = gateway.requests
    assert sent.path == "/v2/models/echo/versions/stable/infer"
    assert sent.headers["authorization"] == f"Bearer {console_key()}"
    assert decode_json("echo", "", sent.body).inputs[0].name == "text"


def test_a_refusal_of_the_gateway_is_an_answer_too(gateway: Stand, model: Any, viewer: Any) -> None:
    gateway.status, gateway.body = 503, b'{"error": "no replica is ready", "code": "not_ready"}'
    answer = infer(model=model, body=TEXT, actor=viewer)
    assert (answer.ok, answer.status, answer.body["code"], answer.version) == (False, 503, "not_ready", None)


def test_a_picture_travels_as_binary_data(gateway: Stand, model: Any, viewer: Any) -> None:
    infer(model=model, body=IMAGE, actor=viewer)
    (sent,) = gateway.requests
    length = int(sent.headers["inference-header-content-length"])
    request = decode_binary("echo", "", sent.body, length)
    image, number = request.inputs
    assert bytes(image.data) == len(PNG).to_bytes(4, "little") + PNG
    assert bytes(number.data) == (3).to_bytes(4, "little")


@pytest.mark.parametrize(
    "body, headers, error",
    [
        (b"<html>", {}, BadGateway),
        (b"[1]", {}, BadGateway),
        (b"x" * (8 * 1024**2 + 1), {}, BadGateway),
    ],
)
def test_an_answer_that_is_none_is_said_so(
    body: bytes, headers: dict, error: type[Exception], gateway: Stand, model: Any, viewer: Any
) -> None:
    gateway.body, gateway.headers = body, headers
    with pytest.raises(error):
        infer(model=model, body=TEXT, actor=viewer)


def test_a_gateway_that_is_away_or_silent_costs_bounded_time(
    gateway: Stand, model: Any, viewer: Any, settings: Any
) -> None:
    gateway.hold.clear()
    with pytest.raises(GatewayTimeout):
        infer(model=model, body=TEXT, actor=viewer, timeout_s=0.2)
    settings.GATEWAY_URL = "http://127.0.0.1:1"
    with pytest.raises(NotReady) as away:
        infer(model=model, body=TEXT, actor=viewer)
    assert away.value.dependency == "gateway"


@pytest.mark.parametrize(
    "body, error",
    [
        ({}, Invalid),
        ({"inputs": "text"}, Invalid),
        ({"inputs": [{"name": "x", "data": [float("nan")]}]}, Invalid),
        ({"inputs": [{"name": "x", "data": [{"b64": "%%%"}]}]}, Invalid),
        ({"inputs": [{"name": "x", "data": [{"b64": "AAAA"}, 3]}]}, Invalid),
        ({"inputs": [{"name": "x", "data": [{"b64": "AAAA"}], "parameters": [1]}]}, Invalid),
        ({"inputs": [{"name": "x", "data": ["half \ud800"]}]}, Invalid),
        ({"inputs": [{"name": "x", "data": ["half \ud800", {"b64": "AAAA"}]}]}, Invalid),
        (TEXT | {"parameters": {"binary_data_output": True}}, Invalid),
        (TEXT | {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]}, Invalid),
        ({"inputs": [{"name": "x", "data": ["x" * (8 * 1024**2)]}]}, TooLarge),
    ],
)
def test_what_is_no_request_is_not_sent(body: dict, error: type, gateway: Stand, model: Any, viewer: Any) -> None:
    with pytest.raises(error):
        infer(model=model, body=body, actor=viewer)
    assert gateway.requests == []


def test_an_actor_without_the_right_sends_nothing(gateway: Stand, model: Any, make_user: Callable) -> None:
    with pytest.raises(NotAllowed):
        infer(model=model, body=TEXT, actor=make_user("gone", is_active=False))
    assert gateway.requests == []


def test_a_keys_list_of_models_holds_here_too(gateway: Stand, model: Any, admin: Any, api_as: Callable) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
    for models, status in ((["other"], 403), (["echo"], 200)):
        key = create_api_key(actor=admin, owner=admin, name="app", scopes=["read", "infer"], models=models)
        answer = api_as(key.secret).post("/api/v1/models/echo:infer", body)
        assert answer.status_code == status
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("language", ["curl", "python"])
@pytest.mark.parametrize("body", [TEXT, IMAGE], ids=["text", "image"])
def test_a_snippet_sends_the_very_request_as_copied(language: str, body: dict, gateway: Stand, model: Any) -> None:
    text = snippets(model=model, body=body, version="2")[language]
    assert console_key() not in text
    command = ["bash", "-c", text] if language == "curl" else [sys.executable, "-c", text]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "SWITCHYARD_API_KEY": "sy_mine"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    (sent,) = gateway.requests
    assert (sent.path, sent.headers["authorization"]) == ("/v2/models/echo/versions/2/infer", "Bearer sy_mine")
    wanted = encode_request(body)
    assert {name.lower(): value for name, value in wanted.headers.items()}.items() <= sent.headers.items()
    if wanted.tail:
        assert sent.body == wanted.body
    else:
        assert json.loads(sent.body) == body


@pytest.mark.parametrize(
    "shape, count, found",
    [((-1,), 2, [2]), ((-1, 4), 8, [2, 4]), ((-1, -1), 5, [1, 5]), ((-1, 2, -1), 6, [1, 2, 3]), ((-1, 4), 6, None)],
)
def test_a_forms_flat_list_gets_the_shape_it_fills(shape: tuple, count: int, found: list | None) -> None:
    tensor = spec.TensorSpec(name="x", datatype="FP32", shape=shape)
    signature = spec.Signature(inputs=(tensor,), outputs=())
    if found is None:
        with pytest.raises(Invalid):
            request_from_values(signature, {"x": [0.0] * count})
    else:
        assert request_from_values(signature, {"x": [0.0] * count})["inputs"][0]["shape"] == found


def test_the_form_follows_the_signature_and_its_example_is_valid(model: Any, make_version: Callable) -> None:
    def tensor(name: str, datatype: str, *shape: int) -> spec.TensorSpec:
        return spec.TensorSpec(name=name, datatype=datatype, shape=shape)

    pixels, answer = tensor("pixels", "FP32", -1, 4), tensor("y", "FP32", -1, 4)
    decode = spec.Signature(inputs=(tensor("photo", "BYTES", -1),), outputs=(pixels,))
    stages = (
        spec.Stage(name="decode", kind=spec.StageKind.PREPROCESS, use="image", signature=decode),
        spec.Stage(
            name="infer", kind=spec.StageKind.INFER, signature=spec.Signature(inputs=(pixels,), outputs=(answer,))
        ),
    )
    (photo,) = playground_inputs(make_version(model, stages=stages))
    assert (photo.name, photo.kind) == ("photo", "image")
    (numbers,) = playground_inputs(make_version(model))
    assert (numbers.kind, numbers.example) == ("numbers", "0, 0, 0, 0")
