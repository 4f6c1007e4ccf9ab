"""What a service raises, as a client sees it."""

import pytest
from django.db import OperationalError
from django.http import Http404
from django.urls import path
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from console.lib import errors

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

handler500 = "console.lib.error_pages.server_error"
handler404 = "console.lib.error_pages.page_not_found"


class OwnConflict(errors.Conflict):
    code = "own_conflict"


RAISED = {
    "invalid": errors.Invalid.field("weight", "At most 100.", code="max_value"),
    "forbidden": errors.NotAllowed("Not yours.", required_role="admin"),
    "missing": errors.Missing("No model 'x'."),
    "own": OwnConflict("Taken."),
    "transition": errors.InvalidTransition("It runs already.", allowed=("pause", "abort")),
    "stale": errors.StaleWrite("Changed meanwhile.", current={"row_version": 8}),
    "large": errors.TooLarge("At most 8 MiB."),
    "full": errors.StorageFull("The disk is full."),
    "limited": errors.RateLimited("Slower.", retry_after_s=7),
    "away": errors.NotReady("No gateway answers.", dependency="gateway", retry_after_s=3),
    "locked": OperationalError("database is locked"),
    "gone": Http404("No page."),
    "bug": ValueError("a secret of ours"),
}


class Raising(APIView):
    permission_classes = []
    throttle_classes = []

    def get(self, request, name):
        raise RAISED[name]

    def post(self, request, name):
        return Response({"name": name})


urlpatterns = [path("api/v1/raise/<str:name>/", Raising.as_view())]


def get(name):
    return APIClient(raise_request_exception=False).get(f"/api/v1/raise/{name}/")


@pytest.mark.parametrize(
    "name, status, code",
    [
        ("invalid", 422, "invalid"),
        ("forbidden", 403, "forbidden"),
        ("missing", 404, "not_found"),
        ("own", 409, "own_conflict"),
        ("transition", 409, "invalid_transition"),
        ("stale", 412, "version_conflict"),
        ("large", 413, "too_large"),
        ("full", 507, "storage_full"),
        ("limited", 429, "rate_limited"),
        ("away", 503, "not_ready"),
        ("locked", 503, "not_ready"),
        ("gone", 404, "not_found"),
        ("bug", 500, "internal"),
    ],
)
def test_each_refusal_has_its_status_and_code(name, status, code):
    answer = get(name)
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (status, code, status)
    assert answer["Content-Type"] == "application/problem+json"


def test_a_problem_carries_what_helps_to_go_on():
    assert get("invalid").json()["errors"] == [{"pointer": "/weight", "code": "max_value", "detail": "At most 100."}]
    assert get("forbidden").json()["required_role"] == "admin"
    assert get("transition").json()["allowed"] == ["pause", "abort"]
    assert get("stale").json()["current"] == {"row_version": 8}
    assert get("away").json()["dependency"] == "gateway"
    assert (get("away")["Retry-After"], get("limited")["Retry-After"]) == ("3", "7")


def test_a_fault_of_ours_tells_the_client_nothing_and_the_log_everything(caplog):
    answer = get("bug")
    assert b"secret" not in answer.content
    assert answer.json()["request_id"] == answer["X-Request-ID"]
    assert "a secret of ours" in caplog.text


def test_a_method_that_is_not_there_is_405_with_what_is():
    answer = APIClient().delete("/api/v1/raise/own/")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in answer["Allow"]
