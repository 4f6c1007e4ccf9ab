"""The record: written with the change or not at all, chained, and honest about tampering."""

import pytest
from django.db import connection, transaction

from console.accounts.models import AuditEvent
from console.accounts.services import record, verify_chain
from console.lib.actors import SYSTEM, bind_request_id

pytestmark = pytest.mark.django_db


def write(count=3):
    return [record(SYSTEM, "test.write", f"thing/{number}", after={"n": number}) for number in range(count)]


def test_each_event_follows_from_the_one_before():
    first, second, third = write()
    assert (second.previous_hash, third.previous_hash) == (first.hash, second.hash)
    assert [event.number for event in (first, second, third)] == [1, 2, 3]
    check = verify_chain()
    assert (check.ok, check.events, check.head) == (True, 3, third.hash)


def test_an_event_tells_who_what_and_in_which_request(operator):
    with bind_request_id("req-7"):
        event = record(
            operator, "alias.move", "alias/minilm/stable", before={"version": 1}, after={"version": 2}, reason="why"
        )
    event.refresh_from_db()
    assert (event.actor_kind, event.actor_name, event.request_id) == ("user", "omar", "req-7")
    assert (event.before, event.after, event.reason) == ({"version": 1}, {"version": 2}, "why")


@pytest.mark.parametrize(
    "column, value",
    [
        ("actor_name", "someone else"),
        ("after", '{"n": 99}'),
        ("reason", "another"),
        ("number", 77),
        ("at", "2020-01-01"),
    ],
)
def test_a_changed_event_breaks_the_chain_there(column, value):
    write()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE accounts_auditevent SET {column} = %s WHERE number = 2", [value])
    check = verify_chain()
    assert (check.ok, check.broken_at) == (False, 2)


@pytest.mark.parametrize("number, broken_at", [(2, 2), (3, 3)])
def test_a_removed_event_is_missed_even_if_it_was_the_last(number, broken_at):
    write()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_auditevent WHERE number = %s", [number])
    check = verify_chain()
    assert (check.ok, check.broken_at) == (False, broken_at)


def test_our_own_code_cannot_change_or_remove_events():
    event = write(1)[0]
    for attempt in (AuditEvent.objects.all().delete, event.delete, lambda: AuditEvent.objects.update(reason="x")):
        with pytest.raises(TypeError, match="append-only"):
            attempt()


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_leaves_no_event_and_no_gap():
    with transaction.atomic():
        record(SYSTEM, "test.write", "thing/1")
        transaction.set_rollback(True)
    with transaction.atomic():
        assert record(SYSTEM, "test.write", "thing/2").number == 1


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_refused():
    with pytest.raises(transaction.TransactionManagementError):
        record(SYSTEM, "test.write", "thing/1")
