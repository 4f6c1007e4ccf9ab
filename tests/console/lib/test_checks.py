"""System checks find settings that do nothing, and what is not fit for production."""

import pytest
from django.core.checks import run_checks
from django.db import connection

from console.lib.checks import is_embedded


def ids(found):
    return {item.id for item in found}


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="checks what SQLite has in force")
def test_sqlite_has_the_pragmas_in_force_that_settings_ask_for():
    assert not ids(run_checks(tags=["database"], databases=["default"]))
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout=1")
    try:
        assert ids(run_checks(tags=["database"], databases=["default"])) == {"switchyard.E001"}
    finally:
        connection.close()


def test_what_is_fine_on_a_laptop_fails_the_deployment_check(settings):
    settings.REDIS_URL = f"unix://{settings.DATA_DIR}/valkey/valkey.sock"
    found = ids(run_checks(tags=["security"], include_deployment_checks=True))
    assert {"switchyard.E101", "switchyard.E102", "switchyard.E103"} <= found
    settings.REDIS_URL, settings.HTTPS = "redis://10.0.0.5:6379/0", True
    assert not {"switchyard.E102", "switchyard.E103"} & ids(
        run_checks(tags=["security"], include_deployment_checks=True)
    )


@pytest.mark.parametrize(
    "url, embedded",
    [("unix:///d/valkey/v.sock", True), ("unix:///var/run/redis.sock", False), ("redis://127.0.0.1:6379/0", False)],
)
def test_embedded_is_a_socket_in_the_data_folder(url, embedded, tmp_path):
    from pathlib import Path

    assert is_embedded(url, Path("/d")) is embedded
