"""Models, versions, aliases and uploads over REST, as the conventions have it."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from support.registered import digest_header, sha256, tiny_onnx

from console.jobs.running import attempt
from console.jobs.works import WORKS
from console.registry import services
from console.registry.models import Model, Upload

pytestmark = pytest.mark.django_db
ROOT = "/api/v1"


def test_a_model_is_made_read_changed_archived_and_restored(api: Any) -> None:
    made = api.post(f"{ROOT}/models/", {"name": "echo", "tags": ["demo"], "slo_latency_p95_ms": 60})
    assert (made.status_code, made["Location"], made["ETag"]) == (201, f"{ROOT}/models/echo/", '"model-echo-1"')
    assert Model.objects.get().slo_latency_p95_s == 0.06
    assert api.get(f"{ROOT}/models/echo/", HTTP_IF_NONE_MATCH=made["ETag"]).status_code == 304
    changed = api.patch(f"{ROOT}/models/echo/", {"owner": "Search"}, HTTP_IF_MATCH=made["ETag"])
    assert (changed.status_code, changed.json()["owner"], changed["ETag"]) == (200, "Search", '"model-echo-2"')
    assert changed.json()["slo_latency_p95_ms"] == 60
    gone = api.delete(f"{ROOT}/models/echo/", HTTP_IF_MATCH=changed["ETag"])
    assert gone.json()["archived_at"]
    assert api.get(f"{ROOT}/models/").json()["count"] == 0
    assert api.get(f"{ROOT}/models/?archived=true").json()["count"] == 1
    assert api.post(f"{ROOT}/models/echo:restore").json()["archived_at"] is None


@pytest.mark.parametrize(
    "headers, status, code",
    [
        ({}, 428, "precondition_required"),
        ({"HTTP_IF_MATCH": '"model-echo-7"'}, 412, "version_conflict"),
    ],
)
def test_a_change_names_what_it_is_based_on(headers: dict, status: int, code: str, model: Any, api: Any) -> None:
    answer = api.patch(f"{ROOT}/models/echo/", {"owner": "x"}, **headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if status == 412:
        assert answer.json()["current"]["row_version"] == 1


@pytest.mark.parametrize(
    "query, names",
    [
        ("", ["alpha", "beta"]),
        ("?q=second", ["beta"]),
        ("?tag=text", ["alpha"]),
        ("?ordering=-name", ["beta", "alpha"]),
        ("?page_size=1", ["alpha"]),
    ],
)
def test_models_are_searched_filtered_and_paged(query: str, names: list, make_model: Callable, api: Any) -> None:
    make_model("alpha", tags=["text"])
    make_model("beta", description="the second one", tags=["texts"])
    assert [row["name"] for row in api.get(f"{ROOT}/models/{query}").json()["results"]] == names


def test_an_unknown_parameter_is_an_error(api: Any) -> None:
    assert api.get(f"{ROOT}/models/?taq=x").json()["code"] == "unknown_parameter"


def test_reading_needs_read_and_changing_needs_operate(model: Any, viewer: Any, api_as: Callable) -> None:
    api = api_as(viewer)
    assert api.get(f"{ROOT}/models/echo/").status_code == 200
    refused = api.post(f"{ROOT}/models/", {"name": "mine"})
    assert (refused.status_code, refused.json()["required_role"]) == (403, "operator")


def test_what_is_missing_is_said_with_what_there_is(model: Any, api: Any) -> None:
    for path in ("models/nope/", "models/echo/versions/9/", "models/echo/aliases/nope/", "uploads/nope/"):
        answer = api.get(f"{ROOT}/{path}")
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_an_upload_goes_from_chunks_to_a_ready_version(model: Any, api: Any) -> None:
    content = tiny_onnx(3.0)
    body = {"model": "echo", "filename": "m.onnx", "size": len(content), "sha256": sha256(content), "format": "onnx"}
    assert api.post(f"{ROOT}/uploads/", body).status_code == 428  # lost answers are common here: a key is a must
    made = api.post(f"{ROOT}/uploads/", body, HTTP_IDEMPOTENCY_KEY="one")
    assert (made.status_code, made["Upload-Offset"], made.json()["chunk_bytes"]) == (201, "0", 8 * 1024**2)
    url = made["Location"]
    for begin in (0, 100):
        piece = content[begin : begin + 100] if begin == 0 else content[begin:]
        sent = patch(api, url, begin, piece)
        assert sent.status_code == 200, sent.content
    stands = api.head(url)
    assert (stands["Upload-Offset"], stands["Upload-Length"]) == (str(len(content)), str(len(content)))
    started = api.post(f"{url.rstrip('/')}:complete")
    assert started.status_code == 202
    operation = started.json()
    assert started["Location"] == f"{ROOT}/operations/{operation['id']}/"
    attempt(operation["id"], WORKS)
    ended = api.get(started["Location"]).json()
    assert (ended["state"], ended["progress"], ended["result"]["state"]) == ("succeeded", 100, "ready")
    version = api.get(f"{ROOT}/models/echo/versions/1/").json()
    assert (version["state"], version["signature"]["inputs"][0]["name"]) == ("ready", "x")
    assert api.post(f"{url.rstrip('/')}:complete").json()["id"] == operation["id"]  # twice is once


def patch(api: Any, url: str, offset: int, chunk: bytes, **headers: str) -> Any:
    given = {"HTTP_UPLOAD_OFFSET": str(offset), "HTTP_CONTENT_DIGEST": digest_header(chunk), **headers}
    return api.generic("PATCH", url, chunk, "application/offset+octet-stream", **given)


@pytest.fixture
def url(model: Any, operator: Any) -> str:
    upload = services.create_upload(
        model=model, filename="m.onnx", size_bytes=1000, sha256="0" * 64, format="onnx", actor=operator
    )
    return f"{ROOT}/uploads/{upload.pk}/"


def test_a_chunk_out_of_place_is_told_where_to_go_on(url: str, api: Any) -> None:
    assert patch(api, url, 0, b"x" * 10).status_code == 200
    answer = patch(api, url, 0, b"x" * 10)
    assert (answer.status_code, answer.json()["code"], answer.json()["offset_bytes"]) == (409, "offset_mismatch", 10)


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"HTTP_CONTENT_DIGEST": digest_header(b"another")}, 422),
        ({"HTTP_CONTENT_DIGEST": ""}, 422),
        ({"HTTP_CONTENT_DIGEST": "", "HTTP_REPR_DIGEST": digest_header(b"x" * 10)}, 200),
        ({"HTTP_UPLOAD_OFFSET": ""}, 428),
        ({"HTTP_UPLOAD_OFFSET": "-1"}, 428),
    ],
)
def test_a_chunk_carries_its_place_and_its_digest(headers: dict, status: int, url: str, api: Any) -> None:
    assert patch(api, url, 0, b"x" * 10, **headers).status_code == status
    assert Upload.objects.get().offset_bytes == (10 if status == 200 else 0)


def test_a_tus_style_checksum_is_understood(url: str, api: Any) -> None:
    checksum = digest_header(b"x" * 10).removeprefix("sha-256=:").removesuffix(":")
    answer = patch(api, url, 0, b"x" * 10, HTTP_CONTENT_DIGEST="", HTTP_UPLOAD_CHECKSUM=f"sha256 {checksum}")
    assert answer.status_code == 200


def test_a_chunk_over_the_limit_is_413(model: Any, operator: Any, api: Any) -> None:
    big = services.create_upload(
        model=model, filename="m.onnx", size_bytes=10 * 1024**2, sha256="1" * 64, format="onnx", actor=operator
    )
    answer = patch(api, f"{ROOT}/uploads/{big.pk}/", 0, bytes(8 * 1024**2 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_full_quota_is_507_and_a_known_file_409(model: Any, api: Any, settings: Any, operator: Any) -> None:
    body = {"model": "echo", "filename": "m.onnx", "size": 10, "sha256": sha256(b"x" * 10), "format": "onnx"}
    url = api.post(f"{ROOT}/uploads/", body, HTTP_IDEMPOTENCY_KEY="one")["Location"]
    patch(api, url, 0, b"x" * 10)
    api.post(f"{url.rstrip('/')}:complete")
    again = api.post(f"{ROOT}/uploads/", body, HTTP_IDEMPOTENCY_KEY="two")
    assert (again.status_code, again.json()["code"], again.json()["version"]) == (409, "duplicate_upload", 1)
    settings.UPLOAD_QUOTA_BYTES = 20
    full = api.post(f"{ROOT}/uploads/", body | {"sha256": "2" * 64, "size": 21}, HTTP_IDEMPOTENCY_KEY="three")
    assert (full.status_code, full.json()["code"]) == (507, "storage_full")


def test_an_upload_is_cancelled(url: str, api: Any) -> None:
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404


def test_versions_are_listed_noted_put_away_and_deleted(model: Any, make_version: Callable, api: Any) -> None:
    make_version(model)
    make_version(model)
    listed = api.get(f"{ROOT}/models/echo/versions/").json()
    assert [row["number"] for row in listed["results"]] == [2, 1]
    url = f"{ROOT}/models/echo/versions/2/"
    noted = api.patch(url, {"notes": "better"}, HTTP_IF_MATCH=api.get(url)["ETag"])
    assert noted.json()["notes"] == "better"
    assert api.post(f"{ROOT}/models/echo/versions/2:warm").status_code == 200
    assert api.post(f"{ROOT}/models/echo/versions/2:archive").status_code == 409
    assert api.post(f"{ROOT}/models/echo/versions/2:release").status_code == 200
    assert api.post(f"{ROOT}/models/echo/versions/2:archive").json()["state"] == "archived"
    assert api.post(f"{ROOT}/models/echo/versions/2:restore").json()["state"] == "ready"
    assert api.delete(url, HTTP_IF_MATCH=api.get(url)["ETag"]).status_code == 204
    assert api.get(url).status_code == 404


@pytest.mark.parametrize(
    "header, status, part",
    [
        (None, 200, slice(None)),
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=90-5000", 206, slice(90, None)),
        ("bytes=5-1", 416, slice(0, 0)),
        ("bytes=100-", 416, slice(0, 0)),
        ("bytes=0-1,4-5", 200, slice(None)),
    ],
)
def test_a_file_is_downloaded_whole_or_in_a_range(
    header: str | None, status: int, part: slice, model: Any, make_version: Callable, api: Any
) -> None:
    content = bytes(range(100))
    make_version(model, content)
    headers = {"HTTP_RANGE": header} if header else {}
    answer = api.get(f"{ROOT}/models/echo/versions/1/artifact", **headers)
    assert answer.status_code == status
    assert b"".join(answer) == content[part] if status != 416 else answer["Content-Range"] == "bytes */100"
    assert answer["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'


def test_an_alias_is_put_moved_and_deleted(model: Any, make_version: Callable, api: Any) -> None:
    make_version(model)
    make_version(model)
    url = f"{ROOT}/models/echo/aliases/champion/"
    made = api.put(url, {"version": 1})
    assert (made.status_code, made.json()["version"]) == (201, 1)
    assert api.put(url, {"version": 2}).status_code == 428
    assert api.put(url, {"version": 2}, HTTP_IF_NONE_MATCH="*").status_code == 412
    moved = api.put(url, {"version": 2}, HTTP_IF_MATCH=made["ETag"])
    assert (moved.status_code, moved.json()["version"]) == (200, 2)
    assert api.put(url, {"version": 1}, HTTP_IF_MATCH=made["ETag"]).json()["current"]["version"] == 2
    assert api.delete(url, HTTP_IF_MATCH=moved["ETag"]).status_code == 204
    reserved = api.put(f"{ROOT}/models/echo/aliases/stable/", {"version": 1})
    assert (reserved.status_code, reserved.json()["errors"][0]["code"]) == (422, "reserved")
