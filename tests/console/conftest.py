"""People of each role, a browser for each, and an API client for people and keys."""

from collections.abc import Callable

import pytest
from django.core.cache import cache, caches
from django.test import Client
from rest_framework.test import APIClient

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick_passwords(settings) -> None:
    """The real hasher takes a quarter of a second on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """Rate limits count in the cache; each test starts from nothing, with Redis there or away.

    And with a cache that has not yet met Redis: one that found it away rests a while before it looks again.
    """
    cache.clear()
    del caches["default"]


@pytest.fixture(autouse=True)
def no_old_reports() -> None:
    """A process keeps the last reports it read and its connection; a test begins as a process does."""
    from console.fleet.reports import mailbox

    mailbox.forget()


@pytest.fixture
def make_user(db: None) -> Callable:
    """`make_user("ada", "operator")`; without a password they enter by `page_as` and `api_as`, which is quick."""
    from console.accounts.models import User

    def make(name: str, role: str = "viewer", password: str = "", **fields: object) -> User:
        user = User(username=name, role=role, **fields)
        if password:
            user.set_password(password)
        else:
            user.set_unusable_password()
        user.save()
        return user

    return make


@pytest.fixture
def viewer(make_user: Callable):
    return make_user("vera", "viewer")


@pytest.fixture
def operator(make_user: Callable):
    return make_user("omar", "operator")


@pytest.fixture
def approver(make_user: Callable):
    return make_user("anna", "approver")


@pytest.fixture
def admin(make_user: Callable):
    return make_user("ada", "admin")


@pytest.fixture
def page_as() -> Callable[..., Client]:
    def browse(user: object) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return browse


@pytest.fixture
def api_as() -> Callable[..., APIClient]:
    """For a user: a session without CSRF checks. For the text of a key: its Bearer header."""

    def call(actor: object) -> APIClient:
        client = APIClient()
        if isinstance(actor, str):
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {actor}")
        else:
            client.force_login(actor, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return call


@pytest.fixture
def api(api_as: Callable, admin: object) -> APIClient:
    return api_as(admin)
