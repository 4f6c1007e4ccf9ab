"""Writers at the same time, each with a connection of its own: what the database's locks must keep true."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from console.accounts.models import AuditEvent
from console.accounts.services import consume_login_link, create_login_link, record, verify_chain
from console.lib import outbox
from console.lib.actors import SYSTEM
from console.lib.errors import NotAllowed
from console.lib.models import OutboxMark

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS, ROUNDS = 6, 10


def at_once(work):
    """Run `work(n)` in threads; the results in order, or the first error."""

    def run(number):
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as threads:
        return list(threads.map(run, range(WRITERS)))


@pytest.fixture(autouse=True)
def no_redis(settings, short_tmp):
    settings.REDIS_URL = f"unix://{short_tmp}/nobody.sock"


def test_the_chain_has_no_gap_and_no_fork():
    def write(writer):
        for number in range(ROUNDS):
            with transaction.atomic():
                record(SYSTEM, "test.write", f"thing/{writer}/{number}")

    at_once(write)
    check = verify_chain()
    assert (check.ok, check.events) == (True, WRITERS * ROUNDS)
    assert list(AuditEvent.objects.values_list("number", flat=True)) == list(range(WRITERS * ROUNDS, 0, -1))


def test_every_change_of_one_document_gets_its_own_generation():
    def change(writer):
        seen = []
        for _ in range(ROUNDS):
            with transaction.atomic():
                record(SYSTEM, "test.write", f"thing/{writer}")
                seen.append(outbox.mark("keys", "all"))
        return seen

    given = [number for seen in at_once(change) for number in seen]
    assert sorted(given) == list(range(1, WRITERS * ROUNDS + 1))
    assert OutboxMark.objects.get(kind="keys").generation == WRITERS * ROUNDS


def test_of_two_who_open_a_login_link_at_once_one_gets_in(viewer):
    token = create_login_link(actor=SYSTEM, user=viewer).split("/")[2]

    def open_link(_):
        try:
            return consume_login_link(token).username
        except NotAllowed:
            return None

    assert sorted(at_once(open_link), key=str) == [None] * (WRITERS - 1) + ["vera"]
