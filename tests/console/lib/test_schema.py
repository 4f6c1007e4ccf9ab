"""The OpenAPI document: valid, and true about who may call what."""

import re
from pathlib import Path

import pytest
from django.core.management import call_command


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    import yaml

    path = tmp_path_factory.mktemp("schema") / "openapi.yaml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(path))
    return yaml.safe_load(path.read_text())


def test_it_is_valid_without_a_warning_and_openapi_3_1(schema):
    assert schema["openapi"].startswith("3.1")
    assert "/api/v1/api-keys/" in schema["paths"]


def test_every_operation_says_what_it_does_and_how_it_fails(schema):
    lacking = [
        f"{verb} {path}"
        for path, verbs in schema["paths"].items()
        for verb, operation in verbs.items()
        if path != "/api/v1/schema/" and not (operation.get("summary") and "401" in operation["responses"])
    ]
    assert not lacking


def test_every_change_of_what_exists_asks_for_its_etag(schema):
    lacking = [
        f"{verb} {path}"
        for path, verbs in schema["paths"].items()
        for verb, operation in verbs.items()
        if path.startswith(("/api/v1/api-keys/", "/api/v1/users/")) and verb in ("patch", "put", "delete")
        and not any(parameter["name"] == "If-Match" for parameter in operation["parameters"])
    ]  # fmt: skip
    assert not lacking


@pytest.mark.django_db
def test_the_reader_of_the_api_has_no_inline_script_or_style(page_as, viewer):
    page = page_as(viewer).get("/api/docs/").content.decode()
    assert 'data-schema="/api/v1/schema/"' in page
    assert "<style" not in page
    assert "<script>" not in page
    assert page_as(viewer).get("/api/v1/schema/").json()["openapi"].startswith("3.1")


def test_every_code_is_in_the_schema_and_in_the_docs_under_its_status(schema):
    from console.lib.api_errors import every_code

    codes = every_code()
    assert schema["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(codes)
    page = (Path(__file__).resolve().parents[3] / "docs" / "console-api.md").read_text()
    table = dict(re.findall(r"^\| (\d{3}) \| (.+) \|$", page, re.MULTILINE))
    told = {code: int(status) for status, names in table.items() for code in re.findall(r"`(\w+)`", names)}
    assert told == {code: status for code, status in codes.items() if not code.startswith("own_")}
