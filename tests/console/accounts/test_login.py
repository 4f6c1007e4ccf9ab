"""The ways in: password, second factor, one-time link; and what keeps others out."""

import json
import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from allauth.mfa.adapter import get_adapter as mfa_adapter
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.core.management import CommandError, call_command
from django.utils import timezone

from console.accounts.models import AuditEvent, LoginLink, User
from console.accounts.services import create_admin, create_login_link, deactivate_user, set_password
from console.lib.actors import SYSTEM
from console.lib.errors import Invalid

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
LOGIN = "/accounts/login/"


@pytest.fixture
def ada(make_user):
    return make_user("ada", "admin", password=PASSWORD, email="ada@example.org")


def logged_in(client):
    return client.get("/api/v1/me/").status_code == 200


@pytest.mark.parametrize("name", ["ada", "ada@example.org"])
def test_one_logs_in_by_name_or_address(client, ada, name):
    answer = client.post(LOGIN, {"login": name, "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert logged_in(client)
    assert AuditEvent.objects.filter(action="user.login", actor_name="ada").exists()


def test_a_wrong_password_does_not(client, ada):
    assert client.post(LOGIN, {"login": "ada", "password": "wrong"}).status_code == 200
    assert not logged_in(client)


def test_guessing_ends_after_a_few_tries_even_with_the_right_password(client, ada):
    for _ in range(5):
        client.post(LOGIN, {"login": "ada", "password": "wrong"})
    client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    assert not logged_in(client)


def test_login_works_and_stays_limited_while_redis_is_away(client, ada, settings, short_tmp):
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": f"unix://{short_tmp}/nobody.sock"}}
    client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    assert logged_in(client)
    client.logout()
    for _ in range(5):
        client.post(LOGIN, {"login": "ada", "password": "wrong"})
    client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    assert not logged_in(client)


def test_nobody_signs_up(client):
    answer = client.post("/accounts/signup/", {"username": "eve", "password1": PASSWORD, "password2": PASSWORD})
    assert answer.status_code == 200
    assert not User.objects.filter(username="eve").exists()


def test_with_a_second_factor_the_password_alone_is_not_enough(client, ada):
    secret = generate_totp_secret()
    TOTP.activate(ada, secret)
    answer = client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    assert answer["Location"] == "/accounts/2fa/authenticate/"
    assert not logged_in(client)
    client.post("/accounts/2fa/authenticate/", {"code": code_now(secret)})
    assert logged_in(client)
    assert mfa_adapter().is_mfa_enabled(ada)


def test_an_htmx_request_after_the_session_ended_is_sent_to_the_login(client):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/models/?q=a"}
    answer = client.get("/settings/profile/", headers=headers)
    assert (answer.status_code, answer["HX-Redirect"]) == (204, "/accounts/login/?next=/models/%3Fq%3Da")


# One-time links


def test_a_link_logs_in_once(client, ada):
    path = create_login_link(actor=SYSTEM, user=ada)
    assert client.head(path).status_code == 405  # a preview of the link leaves it whole
    assert path.split("/")[2] not in str(list(LoginLink.objects.values()))
    assert client.get(path)["Location"] == "/"
    assert logged_in(client)
    client.logout()
    again = client.get(path)
    assert again.status_code == 403
    assert "used already" in again.content.decode()
    assert not logged_in(client)


def test_a_link_ends_after_ten_minutes(client, ada, time_machine):
    path = create_login_link(actor=SYSTEM, user=ada)
    time_machine.move_to(timezone.now() + timedelta(minutes=10, seconds=1))
    assert client.get(path).status_code == 403


def test_a_link_of_someone_deactivated_is_worth_nothing(client, ada, viewer):
    path = create_login_link(actor=SYSTEM, user=viewer)
    deactivate_user(actor=ada, user=viewer, seen=viewer.row_version)
    assert client.get(path).status_code == 403


def test_the_command_prints_a_link_that_works(client, ada, capsys):
    call_command("login_link", "ada", base="http://testserver")
    client.get(capsys.readouterr().out.strip().removeprefix("http://testserver"))
    assert logged_in(client)
    with pytest.raises(CommandError, match="Known: ada"):
        call_command("login_link", "nobody")


# The first admin


def test_the_first_admin_is_made_once(monkeypatch):
    monkeypatch.delenv("SWITCHYARD_ADMIN_PASSWORD", raising=False)
    user, password = create_admin()
    assert user.check_password(password)
    assert (user.role, user.native) == ("admin", True)
    assert create_admin() == (user, None)


def test_the_environment_sets_the_first_admins_password(monkeypatch):
    monkeypatch.setenv("SWITCHYARD_ADMIN_PASSWORD", PASSWORD)
    assert create_admin()[1] == PASSWORD
    monkeypatch.setenv("SWITCHYARD_ADMIN_PASSWORD", "short")
    with pytest.raises(Invalid, match="too short"):
        create_admin(username="other")


@pytest.fixture
def up_json(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    path = tmp_path / "up.json"
    path.write_text(json.dumps({"admin_user": "ada", "admin_password": PASSWORD, "console_url": "http://x"}))
    return path


@pytest.mark.django_db(transaction=True)
def test_a_changed_password_disappears_from_up_json(client, ada, up_json: Path):
    client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    fresh = "another long secret"
    client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": fresh, "password2": fresh})
    assert json.loads(up_json.read_text()) == {"admin_user": "ada", "admin_password": None, "console_url": "http://x"}
    assert stat.S_IMODE(up_json.stat().st_mode) == 0o600
    assert AuditEvent.objects.filter(action="user.set_password").exists()


@pytest.mark.django_db(transaction=True)
def test_another_persons_new_password_leaves_up_json_alone(ada, viewer, up_json: Path):
    set_password(actor=ada, user=viewer, password="another long secret")
    assert json.loads(up_json.read_text())["admin_password"] == PASSWORD
    set_password(actor=ada, user=ada, password="another long secret")
    assert json.loads(up_json.read_text())["admin_password"] is None


# Pages of allauth: drawn in our frame, and within the strict policy


@pytest.fixture
def with_second_factor(client, ada):
    """Ada has a second factor and has just logged in with both."""
    secret = generate_totp_secret()
    TOTP.activate(ada, secret)
    RecoveryCodes.activate(ada)
    client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    client.post("/accounts/2fa/authenticate/", {"code": code_now(secret)})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


# A script of type application/json is data; the browser runs nothing there.
INLINE = re.compile(r"<style|<script(?![^>]*\s(?:src=|type=.application/json))|\sstyle=|\son[a-z]+=")


def check_page(answer, status=200):
    assert answer.status_code == status
    page = answer.content.decode()
    assert not INLINE.search(page), INLINE.search(page)
    assert 'rel="stylesheet"' in page, "not in our frame"


@pytest.mark.parametrize("path", ["login/", "signup/", "inactive/"])
def test_pages_for_anyone_hold_the_policy(client, db, path):
    check_page(client.get(f"/accounts/{path}"))


@pytest.mark.parametrize("path", ["logout/", "password/change/", "reauthenticate/", "2fa/"])
def test_pages_of_someone_logged_in_hold_the_policy(client, ada, path):
    client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    check_page(client.get(f"/accounts/{path}"))


def test_a_second_factor_is_set_up_after_the_password_was_given_again(client, ada):
    client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    assert client.get("/accounts/2fa/totp/activate/")["Location"].startswith("/accounts/reauthenticate/")
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    check_page(client.get("/accounts/2fa/totp/activate/"))


@pytest.mark.parametrize("path", ["2fa/totp/deactivate/", "2fa/recovery-codes/", "2fa/recovery-codes/generate/"])
def test_pages_of_the_second_factor_hold_the_policy(with_second_factor, path):
    check_page(with_second_factor.get(f"/accounts/{path}"))


def test_the_second_step_of_a_login_holds_the_policy(client, ada):
    TOTP.activate(ada, generate_totp_secret())
    client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    check_page(client.get("/accounts/2fa/authenticate/"))


def test_too_many_tries_get_a_page_of_ours(client, ada):
    for number in range(31):
        answer = client.post(LOGIN, {"login": f"nobody{number}", "password": "wrong"})
    check_page(answer, status=429)


def code_now(secret):
    return format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))
