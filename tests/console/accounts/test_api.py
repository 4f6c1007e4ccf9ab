"""The REST edge of people, keys and the record, and the conventions it shares with every other."""

import csv
import io
import json

import pytest
from django.test import Client

from console.accounts.models import ApiKey, AuditEvent
from console.accounts.services import create_api_key, revoke_api_key

pytestmark = pytest.mark.django_db

KEYS = "/api/v1/api-keys/"


def make_key(api, **fields):
    return api.post(KEYS, {"name": "ci", "scopes": ["infer"]} | fields)


@pytest.fixture
def operator_key(operator):
    return create_api_key(actor=operator, name="ci", scopes=["read", "operate"])


# Who may come in


def test_without_login_or_key_it_is_401_with_the_way_in(api_as, client):
    answer = client.get("/api/v1/me/")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="switchyard"')
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"], problem["instance"]) == ("not_authenticated", 401, "/api/v1/me/")
    assert problem["request_id"] == answer["X-Request-ID"]


def test_a_key_acts_as_itself_with_its_scopes(api_as, operator_key):
    me = api_as(operator_key.secret).get("/api/v1/me/").json()
    assert (me["kind"], me["name"], me["person"], me["rights"]) == ("key", "ci", "omar", ["operate", "read"])
    assert ApiKey.objects.get().last_used_at


def test_a_revoked_key_is_refused(api_as, operator, operator_key):
    revoke_api_key(actor=operator, key=operator_key.key)
    answer = api_as(operator_key.secret).get("/api/v1/me/")
    assert (answer.status_code, answer.json()["code"]) == (401, "key_invalid")


def test_a_key_without_the_scope_is_refused_and_told_who_has_it(api_as, operator):
    secret = create_api_key(actor=operator, name="x", scopes=["infer"]).secret
    answer = api_as(secret).get("/api/v1/audit/")
    assert (answer.status_code, answer.json()["required_role"]) == (403, "viewer")


@pytest.mark.parametrize("role, status", [("viewer", 403), ("operator", 403), ("approver", 403), ("admin", 200)])
def test_only_admins_see_people(api_as, make_user, role, status):
    answer = api_as(make_user("sam", role)).get("/api/v1/users/")
    assert answer.status_code == status
    assert status == 200 or answer.json()["required_role"] == "admin"


def test_a_session_needs_the_csrf_token_to_change_things(operator):
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post(KEYS, json.dumps({"name": "x", "scopes": ["infer"]}), content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")
    assert not ApiKey.objects.exists()


# Keys


def test_a_key_is_made_shown_once_and_listed_without_its_text(api):
    made = make_key(api)
    assert made.status_code == 201
    assert made["Location"] == f"{KEYS}{made.json()['id']}/"
    secret = made.json()["secret"]
    listed = api.get(KEYS)
    assert listed.json()["count"] == 1
    assert secret not in listed.content.decode()
    assert AuditEvent.objects.filter(action="api_key.create").count() == 1


def test_wrong_fields_are_named_by_pointer(api):
    answer = api.post(KEYS, {"name": "", "scopes": ["root"]})
    assert answer.status_code == 422
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"/name", "/scopes/0"}


def test_unreadable_json_is_400_and_another_type_415(api):
    assert api.generic("POST", KEYS, b"{", content_type="application/json").status_code == 400
    assert api.generic("POST", KEYS, b"a=1", content_type="application/x-www-form-urlencoded").status_code == 415


@pytest.mark.parametrize("body", [b'{"name":' + b"[" * 1_000_000, b'{"name": NaN}', b'"\xff"', b"[]", b"null", b""])
def test_no_body_is_an_error_of_ours(api, body):
    assert api.generic("POST", KEYS, body, content_type="application/json").status_code in (400, 422)


@pytest.mark.parametrize("name", ["\x00", "\ud800", "x" * 10_000, {"a": 1}, None])
def test_no_name_is_an_error_of_ours(api, name):
    answer = api.generic("POST", KEYS, json.dumps({"name": name, "scopes": ["infer"]}), content_type="application/json")
    assert answer.status_code == 422


def test_an_unknown_parameter_is_400_and_says_what_there_is(api):
    answer = api.get(KEYS + "?stat=active")
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_parameter")
    assert "state" in answer.json()["detail"]
    assert api.get(KEYS + "?state=active").status_code == 200
    assert api.get(KEYS + "?state=maybe").status_code == 422


def test_a_change_needs_the_etag_of_what_it_is_based_on(api):
    url = make_key(api)["Location"]
    etag = api.get(url)["ETag"]
    assert api.patch(url, {"name": "build"}).status_code == 428
    assert api.patch(url, {"name": "build"}, headers={"If-Match": etag}).status_code == 200
    stale = api.patch(url, {"name": "other"}, headers={"If-Match": etag})
    assert (stale.status_code, stale.json()["current"]["name"]) == (412, "build")


def test_what_was_read_already_is_304(api):
    url = make_key(api)["Location"]
    answer = api.get(url, headers={"If-None-Match": api.get(url)["ETag"]})
    assert (answer.status_code, answer.content) == (304, b"")


def test_delete_revokes_and_the_key_stays_in_the_list(api):
    url = make_key(api)["Location"]
    assert api.delete(url, headers={"If-Match": api.get(url)["ETag"]}).status_code == 204
    assert api.get(url).json()["state"] == "revoked"


def test_rotation_answers_with_the_new_key(api):
    made = make_key(api).json()
    answer = api.post(f"{KEYS}{made['id']}:rotate", {"overlap_s": 60})
    assert (answer.status_code, answer.json()["replaces"]) == (201, made["id"])
    again = api.post(f"{KEYS}{made['id']}:rotate", {})
    assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")


def test_someone_elses_key_is_not_found(api_as, viewer, operator_key):
    assert api_as(viewer).get(f"{KEYS}{operator_key.key.pk}/").status_code == 404


# Idempotency


def test_a_repeated_post_gets_the_first_answer_and_makes_one_key(api):
    first = api.post(KEYS, {"name": "ci", "scopes": ["infer"]}, headers={"Idempotency-Key": "k-1"})
    again = api.post(KEYS, {"name": "ci", "scopes": ["infer"]}, headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, again.status_code, again["Idempotency-Replayed"]) == (201, 201, "true")
    assert again.json() == first.json() | {"secret": None}, "the text of a key is never stored, not even for a replay"
    assert again["Location"] == first["Location"]
    assert ApiKey.objects.count() == 1


def test_the_same_idempotency_key_with_another_body_is_refused(api):
    api.post(KEYS, {"name": "ci", "scopes": ["infer"]}, headers={"Idempotency-Key": "k-1"})
    answer = api.post(KEYS, {"name": "other", "scopes": ["infer"]}, headers={"Idempotency-Key": "k-1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_idempotency_keys_are_each_principals_own(api, api_as, operator):
    api.post(KEYS, {"name": "ci", "scopes": ["infer"]}, headers={"Idempotency-Key": "k-1"})
    other = api_as(operator).post(KEYS, {"name": "mine", "scopes": ["infer"]}, headers={"Idempotency-Key": "k-1"})
    assert (other.status_code, other.json()["name"]) == (201, "mine")


def test_a_repeat_while_the_first_is_at_work_is_409(api, admin):
    from console.lib.models import IdempotentAnswer

    scope = {"principal": f"user:{admin.pk}", "route": KEYS, "key": "k-1"}
    IdempotentAnswer.objects.create(**scope, body_sha256="0" * 64)
    answer = api.post(KEYS, {"name": "ci", "scopes": ["infer"]}, headers={"Idempotency-Key": "k-1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "request_in_flight")
    assert answer["Retry-After"]


# People


def test_an_admin_makes_and_changes_people(api):
    made = api.post("/api/v1/users/", {"username": "nina", "password": "long enough words", "role": "operator"})
    assert made.status_code == 201
    assert "password" not in made.json()
    url = made["Location"]
    changed = api.patch(url, {"role": "approver"}, headers={"If-Match": made["ETag"]})
    assert changed.json()["role"] == "approver"
    assert list(AuditEvent.objects.filter(action="user.update").values_list("before__role", "after__role")) == [
        ("operator", "approver")
    ]


def test_weak_passwords_and_taken_names_are_refused(api, viewer):
    weak = api.post("/api/v1/users/", {"username": "nina", "password": "12345"})
    assert (weak.status_code, weak.json()["errors"][0]["pointer"]) == (422, "/password")
    taken = api.post("/api/v1/users/", {"username": "VERA", "password": "long enough words"})
    assert (taken.status_code, taken.json()["code"]) == (409, "already_exists")


def test_the_last_admin_cannot_be_lost(api, admin):
    url = f"/api/v1/users/{admin.pk}/"
    answer = api.patch(url, {"role": "viewer"}, headers={"If-Match": api.get(url)["ETag"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")
    assert api.get("/api/v1/me/").json()["role"] == "admin"


def test_a_deactivated_person_is_out_at_once(api, api_as, viewer):
    theirs = api_as(viewer)
    assert theirs.get("/api/v1/me/").status_code == 200
    url = f"/api/v1/users/{viewer.pk}/"
    assert api.delete(url, headers={"If-Match": api.get(url)["ETag"]}).status_code == 204
    assert theirs.get("/api/v1/me/").status_code == 401


def test_preferences_are_ones_own(api_as, viewer):
    api = api_as(viewer)
    assert api.patch("/api/v1/me/preferences/", {"theme": "dark", "page_size": 50}).status_code == 200
    viewer.refresh_from_db()
    assert (viewer.theme, viewer.page_size, viewer.shortcuts) == ("dark", 50, True)
    assert api.patch("/api/v1/me/preferences/", {"theme": "pink"}).status_code == 422


# The record


def test_the_record_pages_by_cursor_and_filters(api):
    for number in range(5):
        make_key(api, name=f"k{number}")
    first = api.get("/api/v1/audit/?action=api_key.create&page_size=2").json()
    assert [row["after"]["name"] for row in first["results"]] == ["k4", "k3"]
    make_key(api, name="late")
    second = api.get(first["next"]).json()
    assert [row["after"]["name"] for row in second["results"]] == ["k2", "k1"], "a new row does not shift the pages"
    assert api.get("/api/v1/audit/?cursor=nonsense").status_code == 422
    assert api.get("/api/v1/audit/?page_size=9999").status_code == 422
    one = second["results"][0]["id"]
    assert api.get(f"/api/v1/audit/{one}/").json()["id"] == one
    assert api.get("/api/v1/audit/01NOSUCH/").status_code == 404


def test_the_filtered_record_comes_as_csv_whole(api):
    for number in range(3):
        make_key(api, name="=1+1" if number else "plain")
    answer = api.get("/api/v1/audit/?action=api_key.create&page_size=1", headers={"Accept": "text/csv"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "switchyard-audit.csv" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [json.loads(row["after"])["name"] for row in rows] == ["=1+1", "=1+1", "plain"]
    keys = api.get(KEYS + "?ordering=created_at", headers={"Accept": "text/csv"}).content.decode()
    names = [row["name"] for row in csv.DictReader(io.StringIO(keys))]
    assert names == ["plain", "'=1+1", "'=1+1"], "no cell is a formula"
    wrong = api.get("/api/v1/audit/?nonsense=1", headers={"Accept": "text/csv"})
    assert (wrong.status_code, json.loads(wrong.content)["code"]) == (400, "unknown_parameter")


def test_the_chain_can_be_checked(api):
    make_key(api)
    answer = api.get("/api/v1/audit/chain/").json()
    assert (answer["ok"], answer["broken_at"]) == (True, None)
    assert answer["head"] == AuditEvent.objects.first().hash


# The tree


def test_the_root_says_where_everything_is(api):
    root = api.get("/api/v1/").json()
    assert root["links"]["api-keys"].endswith(KEYS)


def test_an_address_that_is_not_there_is_a_problem_too(api):
    answer = api.get("/api/v1/nothing/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_request_id_is_kept_when_harmless_and_replaced_when_not(api):
    assert api.get("/api/v1/me/", headers={"X-Request-ID": "abc-1"})["X-Request-ID"] == "abc-1"
    assert len(api.get("/api/v1/me/", headers={"X-Request-ID": "a b\x7f"})["X-Request-ID"]) == 26


def test_requests_are_counted_and_limited_per_actor(api, api_as, viewer, settings):
    settings.API_REQUESTS_PER_MINUTE = 2
    assert [api.get("/api/v1/me/")["RateLimit-Remaining"] for _ in range(2)] == ["1", "0"]
    refused = api.get("/api/v1/me/")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert api_as(viewer).get("/api/v1/me/").status_code == 200


def test_health_says_what_is_away(api, valkey, settings, short_tmp):
    assert api.get("/api/v1/system/health/").json()["checks"]["redis"]["ok"] is True
    settings.REDIS_URL = f"unix://{short_tmp}/nobody.sock"
    answer = api.get("/api/v1/system/health/").json()
    assert (answer["ready"], answer["checks"]["redis"]["ok"]) == (True, False)
    assert api.get("/readyz").status_code == 200
    assert api.get("/healthz").content == b"ok\n"
    scraped = api.get("/metrics").content.decode()
    assert "switchyard_console_outbox_pending" in scraped
    assert 'switchyard_console_requests_total{method="GET",route="readyz",status="200"}' in scraped
