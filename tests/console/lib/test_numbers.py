"""What anybody writes where a number belongs ends as a refusal, never as an error of ours."""

import pytest

from console.lib.middleware import loggable
from console.lib.numbers import read_whole

ABSURD = ["", "-1", "1e3", "²", "٣", " 7", "9" * 30, "9" * 5000]


@pytest.mark.parametrize("text, number", [("0", 0), ("7", 7), ("9" * 18, 10**18 - 1), *((text, -1) for text in ABSURD)])
def test_only_plain_digits_of_a_bounded_length_are_a_number(text, number):
    assert read_whole(text, otherwise=-1) == number


@pytest.mark.parametrize("text", ["9" * 5000, "²"])
@pytest.mark.parametrize(
    "path",
    [
        "/models/?page_size={}",
        "/metrics/query/?start={}",
        "/metrics/query/?end={}",
        "/metrics/query/?step={}",
    ],
)
def test_absurd_numbers_in_addresses_of_the_api_are_refused(api, path, text):
    answer = api.get("/api/v1" + path.format(text))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    "path, fields",
    [
        ("/models/mine/edit/", {"seen": "{}", "description": "lost"}),
        ("/models/mine/traffic/", {"seen": "{}", "w{}": "100"}),
        ("/models/mine/aliases/", {"name": "own", "version": "{}"}),
        ("/settings/preferences/", {"page_size": "{}"}),
        ("/settings/api-keys/", {"name": "own", "scopes": "read", "days": "{}"}),
        ("/settings/users/{user}/", {"seen": "{}", "role": "viewer"}),
    ],
)
def test_absurd_numbers_in_forms_change_nothing(admin, operator, page_as, path, fields):
    browser = page_as(admin)
    browser.post("/models/+new/", {"name": "mine"})
    for text in ABSURD[1:]:
        sent = {name.replace("{}", text): value.replace("{}", text) for name, value in fields.items()}
        answer = browser.post(path.format(user=operator.pk), sent)
        assert answer.status_code in (302, 400, 404, 422), f"{path} with {text[:9]!r}"
    operator.refresh_from_db()
    assert operator.role == "operator"
    assert not admin.api_keys.exists()  # a life that nobody offered must not become "no end"


def test_a_path_in_the_log_cannot_steer_a_terminal_and_a_login_link_is_not_in_it():
    assert loggable("/models/\x1b[31m\x00\n/") == "/models/%1B%5B31m%00%0A/"
    assert "secret" not in loggable("/login/secret/")
