"""Traffic, cache policy and the playground over REST."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.gateway_stand import stand_in

pytestmark = pytest.mark.django_db
URL = "/api/v1/models/echo"


def test_the_stable_version_is_set_and_set_back_by_its_own_undo(model: Any, make_version: Callable, api: Any) -> None:
    make_version(model)
    make_version(model)
    nothing = api.get(f"{URL}/traffic/")
    assert (nothing.json()["weights"], nothing["ETag"]) == ([], '"traffic-echo-0"')
    first = api.post(f"{URL}/traffic:set-stable", {"version": 1}, HTTP_IF_MATCH=nothing["ETag"])
    assert (first.json()["stable_version"], first.json()["undo"]) == (1, None)
    second = api.post(f"{URL}/traffic:set-stable", {"version": 2}, HTTP_IF_MATCH=first["ETag"]).json()
    assert (second["weights"], second["moved_percent"]) == ([{"version": 2, "percent": 100.0}], 100.0)
    undo = second["undo"]
    undone = api.generic(
        undo["method"], undo["href"], json.dumps(undo["body"]), "application/json", HTTP_IF_MATCH=undo["if_match"]
    )
    assert undone.json()["stable_version"] == 1


def test_weights_are_put_with_the_state_they_are_based_on(model: Any, make_version: Callable, api: Any) -> None:
    make_version(model)
    make_version(model)
    body = {"weights": [{"version": 1, "percent": 90}, {"version": 2, "percent": 10}], "reason": "try"}
    assert api.put(f"{URL}/traffic/", body).status_code == 428
    tried = api.put(f"{URL}/traffic/?dry_run=true", body, HTTP_IF_MATCH='"traffic-echo-0"')
    assert (tried.json()["moved_percent"], tried.json()["undo"]) == (100.0, None)
    assert api.get(f"{URL}/traffic/").json()["weights"] == []
    done = api.put(f"{URL}/traffic/", body, HTTP_IF_MATCH='"traffic-echo-0"')
    assert done.status_code == 200
    stale = api.put(f"{URL}/traffic/", body, HTTP_IF_MATCH='"traffic-echo-0"')
    assert (stale.status_code, len(stale.json()["current"]["weights"])) == (412, 2)
    short = api.put(f"{URL}/traffic/", {"weights": [{"version": 1, "percent": 90}]}, HTTP_IF_MATCH=done["ETag"])
    assert (short.status_code, short.json()["errors"][0]["code"]) == (422, "sum")
    twice = [{"version": 1, "percent": 50}, {"version": 1, "percent": 50}]
    assert api.put(f"{URL}/traffic/", {"weights": twice}, HTTP_IF_MATCH=done["ETag"]).status_code == 422
    assert api.put(f"{URL}/traffic/?dryrun=1", body, HTTP_IF_MATCH=done["ETag"]).status_code == 400


def test_traffic_needs_operate(model: Any, viewer: Any, api_as: Callable) -> None:
    answer = api_as(viewer).put(f"{URL}/traffic/", {"weights": []}, HTTP_IF_MATCH='"traffic-echo-0"')
    assert answer.status_code == 403


def test_a_cache_policy_is_read_and_set(model: Any, api: Any) -> None:
    held = api.get(f"{URL}/cache-policy/")
    assert (held.json()["enabled"], held.json()["row_version"]) == (False, 0)
    done = api.put(f"{URL}/cache-policy/", {"enabled": True, "ttl_s": 30}, HTTP_IF_MATCH=held["ETag"])
    assert (done.json()["enabled"], done.json()["ttl_s"], done.json()["row_version"]) == (True, 30.0, 1)
    assert api.put(f"{URL}/cache-policy/", {"enabled": False}, HTTP_IF_MATCH=held["ETag"]).status_code == 412


def test_a_viewer_asks_a_model_and_gets_answer_and_snippets(
    model: Any, viewer: Any, api_as: Callable, settings: Any
) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
    with stand_in() as gateway:
        settings.GATEWAY_URL = gateway.url
        gateway.body = b'{"model_version": "1", "outputs": [{"name": "y", "data": [2]}]}'
        answer = api_as(viewer).post(f"{URL}:infer", body).json()
        assert (answer["status"], answer["version"]) == (200, 1)
        assert answer["body"]["outputs"][0]["data"] == [2]
        assert set(answer["snippets"]) == {"curl", "python"}
    away = api_as(viewer).post(f"{URL}:infer", body)
    assert (away.status_code, away.json()["dependency"]) == (503, "gateway")
