"""Pages before there is anything, for those who may only look, and while Redis is away; forms that can't be abused."""

import pytest

from console.accounts.models import ApiKey, AuditEvent, User
from console.registry.models import Model

PAGES = [
    "/models/", "/playground/", "/workers/", "/audit/?check=1", "/search/?q=x", "/settings/profile/",
    "/settings/api-keys/", "/settings/users/", "/settings/system/",
]  # fmt: skip

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", PAGES)
def test_a_page_with_nothing_to_show_and_no_redis_still_answers(viewer, page_as, settings, path):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = page_as(viewer).get(path)
    assert answer.status_code == 200, path
    assert "<h1>" in answer.content.decode()


@pytest.mark.parametrize("path", [*PAGES, "/models/nothing/", "/workers/nothing/"])
def test_without_a_session_every_page_leads_to_the_sign_in(client, path):
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=")


def test_workers_says_how_to_start_some_and_what_is_away(viewer, page_as, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    page = page_as(viewer).get("/workers/").content.decode()
    assert "python -m inference controller" in page
    assert "Redis does not answer" in page
    assert "0<span" not in page  # unknown is a dash
    assert "No news of the workers" in page
    assert "No controller has reported" not in page  # nobody can know that now


def test_without_redis_nothing_is_said_to_be_stopped(viewer, page_as, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    browser = page_as(viewer)
    page = browser.get("/").content.decode()
    assert "Nothing is known of the workers now" in page
    assert "No worker is running" not in page
    assert "Redis does not answer" in browser.get("/workers/minilm-1-main-abc/").content.decode()


def test_a_missing_model_says_so_in_the_frame_of_the_console(viewer, page_as):
    answer = page_as(viewer).get("/models/nothing/")
    assert answer.status_code == 404
    assert "No model is called" in answer.content.decode()


@pytest.mark.parametrize("path", ["/models/+new/", "/settings/demo/load/", "/settings/users/new/"])
def test_a_viewer_cannot_post_what_the_page_does_not_offer(viewer, page_as, path):
    assert page_as(viewer).post(path, {"name": "mine"}).status_code == 403
    assert not Model.objects.exists()


def test_who_is_no_admin_sees_who_can_help_and_nobody_else(viewer, operator, admin, page_as):
    page = page_as(viewer).get("/settings/users/").content.decode()
    assert admin.username in page
    assert operator.username not in page


def test_a_new_key_is_shown_once_and_never_cached(viewer, page_as):
    browser = page_as(viewer)
    answer = browser.post("/settings/api-keys/", {"name": "laptop", "scopes": ["infer"], "days": "30"})
    secret = answer.content.decode().partition('id="new-key"')[2].partition("sy_")[2].partition("<")[0]
    assert len(secret) > 40
    assert "no-store" in answer["Cache-Control"]
    assert secret not in browser.get("/settings/api-keys/").content.decode()
    assert ApiKey.objects.get().expires_at is not None


def test_a_key_beyond_ones_own_rights_is_refused_where_it_was_asked_for(viewer, page_as):
    answer = page_as(viewer).post("/settings/api-keys/", {"name": "root", "scopes": ["admin"]})
    assert answer.status_code == 422
    assert "You cannot give a key what you may not do yourself" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_the_theme_is_kept_with_the_person_and_the_browser(viewer, page_as):
    browser = page_as(viewer)
    answer = browser.post("/settings/theme/", {"theme": "dark", "next": "https://elsewhere.example/"})
    assert answer["Location"] == "/settings/profile/"  # never away from here
    assert answer.cookies["theme"].value == "dark"
    assert User.objects.get(pk=viewer.pk).theme == "dark"
    assert '<html lang="en" data-theme="dark"' in browser.get("/models/").content.decode()


def test_markup_in_names_stays_text(operator, page_as):
    browser = page_as(operator)
    browser.post("/models/+new/", {"name": "plain", "description": "<script>alert(1)</script>", "owner": '"><b>'})
    page = browser.get("/models/").content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;" in page


def test_two_editors_of_one_model_do_not_overwrite_each_other(operator, page_as):
    browser = page_as(operator)
    browser.post("/models/+new/", {"name": "shared"})
    seen = Model.objects.get().row_version
    browser.post("/models/shared/edit/", {"seen": seen, "description": "first"})
    page = browser.post("/models/shared/edit/", {"seen": seen, "description": "second"}, follow=True)
    assert "changed meanwhile" in page.content.decode()
    assert Model.objects.get().description == "first"
    assert AuditEvent.objects.filter(action="model.update").count() == 1


def test_the_audit_filters_by_what_its_links_name(operator, page_as):
    browser = page_as(operator)
    browser.post("/models/+new/", {"name": "one"})
    browser.post("/models/+new/", {"name": "two"})
    page = browser.get("/audit/?subject=model/one").content.decode()
    assert "model/one" in page
    assert "model/two" not in page
