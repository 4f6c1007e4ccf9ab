"""The published schema of the gateway says what it does: generated requests, right and wrong, to the real process."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

SCHEMA = Path(__file__).parents[2] / "docs" / "gateway.openapi.yaml"
KEY = "sy_testtest_all"
MODELS = ("linear", "golden", "chain", "strict", "idle")


def nothing_broke(_: Any, response: Any, __: Any) -> None:
    """503 and 504 say what is so, 501 what is not offered; 500 is a fault of ours."""
    assert response.status_code != 500, response.text


CHECKS = (
    nothing_broke, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance, ignored_auth, unsupported_method,
)  # fmt: skip

schema = schemathesis.openapi.from_path(SCHEMA)


@schema.parametrize()
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_answers_are_as_the_schema_says(case: Any, shared: Any) -> None:
    if case.path_parameters and "model" in case.path_parameters:
        case.path_parameters["model"] = MODELS[len(str(case.path_parameters)) % len(MODELS)]
    case.call_and_validate(base_url=shared.url, headers={"Authorization": f"Bearer {KEY}"}, checks=CHECKS)


X = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}
RIGHT = [
    ("/v2/models/{model}/infer", "POST", {"inputs": [X], "outputs": [{"name": "y"}]}),
    ("/v2/models/{model}/versions/{version}/infer", "POST", {"id": "7", "inputs": [X]}),
    ("/v1/models/{model}:predict", "POST", {"instances": [[1.0, 2.0, 3.0, 4.0]]}),
    ("/v2/models/{model}/versions/{version}", "GET", None),
    ("/v2/models/{model}/config", "GET", None),
    ("/v2/models/{model}/stats", "GET", None),
    ("/v2/models/stats", "GET", None),
    ("/v2/models/{model}/ready", "GET", None),
    ("/v2/repository/index", "POST", {"ready": True}),
]


@pytest.mark.parametrize("path, method, body", RIGHT, ids=[f"{method} {path}" for path, method, _ in RIGHT])
def test_a_good_request_gets_the_answer_that_the_schema_shows(shared: Any, path: str, method: str, body: Any) -> None:
    places = {name: value for name, value in (("model", "linear"), ("version", "best")) if f"{{{name}}}" in path}
    sent = {} if body is None else {"body": body, "media_type": "application/json"}
    case = schema[path][method].Case(path_parameters=places, **sent)
    answer = case.call_and_validate(base_url=shared.url, headers={"Authorization": f"Bearer {KEY}"}, checks=CHECKS[:5])
    assert answer.status_code == 200
