"""The ledger of slots: never idle while somebody waits, never more given than there is, fair among those who wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.transport.credits import SETTLE_S, Credits, Overdrawn


def test_a_lone_gateway_holds_all_slots_without_asking() -> None:
    ledger = Credits()
    assert ledger.join("a", 0) == {}  # not ready yet
    assert ledger.open(2, 0) == {"a": 2}
    ledger.spend("a", 1)
    assert ledger.done("a", 0) == {"a": 1}  # comes back with the answer


def test_a_newcomer_gets_a_resting_credit_at_once_when_it_wants() -> None:
    ledger = Credits(2)
    ledger.join("a", 0)
    assert ledger.join("b", 0) == {}
    assert ledger.want("b", 5, 0) == {"a": -1, "b": 1}


def test_a_slot_in_use_goes_to_who_waits_when_it_is_free() -> None:
    ledger = Credits(1)
    ledger.join("a", 0)
    ledger.join("b", 0)
    ledger.spend("a", 1)
    assert ledger.want("b", 1, 0) == {}
    assert ledger.done("a", 0) == {"b": 1}
    ledger.spend("b", 1)
    assert ledger.done("b", 0) == {"b": 1}  # nobody waits: it rests with who used it last


def test_those_who_wait_are_served_in_turn() -> None:
    ledger = Credits(1)
    holders = ("a", "b", "c")
    for holder in holders:
        ledger.join(holder, 0)
        ledger.want(holder, 100, 0)
    turns = []
    for _ in range(9):
        [holder] = [name for name, account in ledger.accounts.items() if account.credits > 0]
        turns.append(holder)
        ledger.spend(holder, 1)
        ledger.done(holder, 0)
    assert turns == list(holders) * 3


def test_a_gateway_that_asked_and_does_not_use_its_credit_loses_it_only_after_a_while() -> None:
    ledger = Credits(1)
    for holder in ("a", "b", "c"):
        ledger.join(holder, 0)
    ledger.spend("a", 1)
    ledger.want("b", 1, 0)
    assert ledger.done("a", 0) == {"b": 1}
    assert ledger.want("c", 1, SETTLE_S / 2) == {}
    assert ledger.settles_at_s() == SETTLE_S
    assert ledger.settle(SETTLE_S) == {"b": -1, "c": 1}


def test_data_that_crossed_a_taken_credit_is_taken_and_made_up_for() -> None:
    ledger = Credits(1)
    ledger.join("a", 0)
    ledger.join("b", 0)
    assert ledger.want("b", 1, 0) == {"a": -1, "b": 1}
    ledger.spend("a", 1)  # was on its way
    assert ledger.accounts["a"].credits == -1
    ledger.spend("b", 1)
    ledger.done("a", 0)
    ledger.want("a", 1, 0)
    assert ledger.done("b", 0) == {"a": 2}  # to one credit, from below zero


def test_more_batches_than_slots_are_refused() -> None:
    ledger = Credits(2)
    ledger.join("a", 0)
    ledger.spend("a", 1)
    ledger.spend("a", 1)
    with pytest.raises(Overdrawn):
        ledger.spend("a", 1)


def test_slots_of_one_who_leaves_go_to_the_others() -> None:
    ledger = Credits(2)
    ledger.join("a", 0)
    ledger.join("b", 0)
    ledger.spend("a", 1)
    assert ledger.leave("a", 0) == {"b": 2}
    assert ledger.leave("a", 0) == {}


def test_a_closed_ledger_grants_nothing_but_takes_what_is_on_its_way() -> None:
    ledger = Credits(1)
    ledger.join("a", 0)
    ledger.close()
    ledger.spend("a", 1)
    assert ledger.done("a", 0) == {}
    assert ledger.want("a", 1, 0) == {}


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "want", "spend", "done"]), st.integers(0, 3), st.floats(0, 0.004)),
    max_size=80,
)


@given(STEPS, st.integers(1, 3))
def test_no_slot_is_idle_while_somebody_waits_and_both_sides_count_alike(steps: list, slots: int) -> None:
    ledger, clients, now_s = Credits(slots), {}, 0.0

    def tell(moves: dict) -> None:
        for holder, change in moves.items():
            clients[holder] += change

    for step, holder, later_s in steps:
        now_s += later_s
        if step == "join" and holder not in clients:
            clients[holder] = 0
            tell(ledger.join(holder, now_s))
        elif step == "leave" and holder in clients:
            del clients[holder]
            tell(ledger.leave(holder, now_s))
        elif holder not in clients:
            continue
        elif step == "want":
            tell(ledger.want(holder, 1, now_s))
        elif step == "spend" and clients[holder] > 0:
            clients[holder] -= 1
            ledger.spend(holder, 1)
        elif step == "done" and ledger.accounts[holder].busy:
            tell(ledger.done(holder, now_s))
        accounts = ledger.accounts
        assert {name: account.credits for name, account in accounts.items()} == clients
        given_out = sum(max(account.credits, 0) + account.busy for account in accounts.values())
        assert given_out == slots or not accounts
    before_s = now_s + 1 - SETTLE_S  # who was granted a credit after that may still be about to use it
    tell(ledger.settle(now_s + 1))
    idle = [name for name, account in accounts.items() if account.may_lose(before_s)] if clients else []
    waiting = [name for name, account in accounts.items() if ledger.is_waiting(account)] if clients else []
    assert not (idle and waiting)
