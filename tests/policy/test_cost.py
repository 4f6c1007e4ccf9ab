from math import nan
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.policy.cost import (
    NOBODY,
    NS_PER_HOUR,
    LineKind,
    Meter,
    Payer,
    Share,
    Usage,
    add_up,
    apportion,
    meter,
    settle,
)

SECOND = 1_000_000_000
DOLLAR = 1_000_000_000  # nano-units
ANN, BOB = Payer("ann", "weighted"), Payer("bob", "pinned")
NEW = Meter("m", 1, "main")


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**9), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_parts_add_up_and_are_within_one_of_their_exact_share(amount: int, weights: list[int]) -> None:
    parts = apportion(amount, weights)
    assert sum(parts) == amount
    total = sum(weights) or len(weights)
    for part, weight in zip(parts, weights if sum(weights) else [1] * len(weights), strict=True):
        assert abs(part * total - amount * weight) < total


def test_nothing_is_split_among_nobody() -> None:
    assert apportion(7, []) == []
    assert apportion(0, [0, 0]) == [0, 0]


@pytest.mark.parametrize("amount, weights", [(-1, [1]), (1, [2, -1])])
def test_less_than_nothing_is_refused(amount: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="below zero"):
        apportion(amount, weights)


def test_a_clock_that_went_back_and_a_price_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="below zero"):
        meter(NEW, -1, DOLLAR)
    with pytest.raises(ValueError, match="below zero"):
        settle(NEW, SECOND, -DOLLAR, [])
    with pytest.raises(ValueError, match="below zero"):
        settle(NEW, SECOND, DOLLAR, [Usage(-5)])


def test_money_is_whole() -> None:
    with pytest.raises(TypeError):
        meter(NEW, nan, DOLLAR)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        apportion(10, [1, nan])  # type: ignore[list-item]


def test_an_hour_costs_its_price_however_it_is_cut() -> None:
    price, chance = 2 * DOLLAR + 1, Random(1)
    account, left_ns = NEW, NS_PER_HOUR
    while left_ns:
        piece = min(left_ns, chance.randrange(1, 40 * SECOND))
        account, _ = meter(account, piece, price)
        left_ns -= piece
    assert (account.total_nano, account.carried) == (price, 0)


def test_a_second_goes_to_those_it_worked_for_and_the_rest_to_nobody() -> None:
    price = 3_600 * DOLLAR  # a dollar a second
    batch = Usage(SECOND // 2, (Share(ANN, 3), Share(BOB, 1)))
    _, lines = settle(NEW, SECOND, price, [batch])
    charged = {(line.kind, line.payer): line.nano for line in lines}
    assert charged == {
        (LineKind.IDLE, NOBODY): DOLLAR // 2,
        (LineKind.COMPUTE, ANN): DOLLAR * 3 // 8,
        (LineKind.COMPUTE, BOB): DOLLAR // 8,
    }


def test_warm_up_and_retries_are_lines_of_their_own() -> None:
    price = 3_600 * DOLLAR
    lost = Usage(SECOND // 4, (Share(ANN, 1),), LineKind.RETRY)
    _, lines = settle(NEW, SECOND, price, [Usage(SECOND // 2, kind=LineKind.WARM_UP), lost])
    assert {(line.kind, line.payer): line.nano for line in lines} == {
        (LineKind.WARM_UP, NOBODY): DOLLAR // 2,
        (LineKind.RETRY, ANN): DOLLAR // 4,
        (LineKind.IDLE, NOBODY): DOLLAR // 4,
    }


def test_overlapping_batches_share_the_time_they_had() -> None:
    price = 3_600 * DOLLAR
    _, lines = settle(NEW, SECOND, price, [Usage(SECOND, (Share(ANN, 1),)), Usage(SECOND, (Share(BOB, 1),))])
    assert {line.payer: line.nano for line in lines} == {ANN: DOLLAR // 2, BOB: DOLLAR // 2}


def test_a_batch_of_unknown_sizes_is_shared_equally() -> None:
    _, lines = settle(NEW, SECOND, 3_600 * DOLLAR, [Usage(SECOND, (Share(ANN, 0), Share(BOB, 0)))])
    assert {line.payer: line.nano for line in lines} == {ANN: DOLLAR // 2, BOB: DOLLAR // 2}


amounts = st.integers(0, 10**6)
payers = st.builds(Payer, st.sampled_from(["", "ann", "bob"]), st.sampled_from(["weighted", "sticky", "pinned"]))
usages = st.builds(
    Usage,
    st.integers(0, 3 * SECOND),
    st.lists(st.builds(Share, payers, amounts), max_size=6).map(tuple),
    st.sampled_from([LineKind.COMPUTE, LineKind.RETRY, LineKind.WARM_UP]),
)
stretches = st.lists(
    st.tuples(st.integers(0, 90 * SECOND), st.integers(0, 10**13), st.lists(usages, max_size=5)), max_size=12
)


@given(stretches)
@settings(max_examples=150, deadline=None)
def test_lines_add_up_to_what_was_metered_over_any_prices(stretches: list[tuple[int, int, list[Usage]]]) -> None:
    account, lines, exact = NEW, [], 0
    for elapsed_ns, price, used in stretches:
        account, charged = settle(account, elapsed_ns, price, used)
        lines += charged
        exact += elapsed_ns * price
    assert sum(line.nano for line in lines) == account.total_nano == exact // NS_PER_HOUR
    summed = add_up(lines)
    assert sum(line.nano for line in summed) == account.total_nano
    assert len({(line.kind, line.payer) for line in summed}) == len(summed)
    assert all(line.nano > 0 for line in lines)
