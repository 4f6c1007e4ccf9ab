"""While somebody else writes to the database for long, reading goes on and writing says so."""

import sqlite3
from collections.abc import Iterator

import pytest
from django.db import connection

from console.accounts.services import create_api_key
from console.registry.models import Model

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases lock rows, not files"),
]


@pytest.fixture
def long_writer(db: None) -> Iterator[sqlite3.Connection]:
    """Holds the write lock; we wait for it no longer than a test should last."""
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout=50")
    writer = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    yield writer
    writer.close()
    connection.close()


def test_a_page_that_cannot_write_says_so_and_pages_are_read(operator, page_as, long_writer):
    browser = page_as(operator)
    long_writer.execute("BEGIN IMMEDIATE")
    refused = browser.post("/models/+new/", {"name": "mine"})
    assert (refused.status_code, refused["Retry-After"]) == (503, "2")
    assert "The database does not answer" in refused.content.decode()
    assert browser.get("/models/").status_code == 200
    long_writer.execute("ROLLBACK")
    assert browser.post("/models/+new/", {"name": "mine"}).status_code == 302
    assert Model.objects.get().name == "mine"


def test_a_key_reads_although_its_use_cannot_be_noted(operator, api_as, long_writer):
    new = create_api_key(actor=operator, name="ci", scopes=["read"])
    long_writer.execute("BEGIN IMMEDIATE")
    assert api_as(new.secret).get("/api/v1/models/").status_code == 200
    new.key.refresh_from_db()
    assert new.key.last_used_at is None
