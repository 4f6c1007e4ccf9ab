"""The test for failures: exact to closed forms, a fair game at what is tolerated, a losing one below."""

import math
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.policy.canary.errors import GRID, FailureTest, failure_test, gains_of, theta

weights = st.floats(0.001, 0.999)


def told(failures: list[bool], weight: float = 0.1, **settings: object) -> FailureTest:
    test = failure_test(**settings)  # type: ignore[arg-type]
    for canary in failures:
        test.observe(canary, weight)
    return test


def test_a_fine_grid_is_the_closed_form_of_the_uniform_mixture():
    """Five failures, all the canary's, at 10 %: E = 10^5 / (6·0.9) · (1 - 10^-6) = 18518.5."""
    cells, weight = 2000, 0.1
    shares = [weight + (1 - weight) * (place + 0.5) / cells for place in range(cells)]  # of failures, over the weight
    grid = tuple(share * (1 - weight) / (weight * (1 - share)) for share in shares)
    test = told([True] * 5, weight, grid=grid, shares=(1 / cells,) * cells)
    assert math.exp(test.wealth.log_e) == pytest.approx(1e5 / 5.4 * (1 - 1e-6), rel=1e-6)
    assert test.wealth.log_e == pytest.approx(9.82653, abs=1e-5)


@pytest.mark.parametrize("canary, control", [(0, 0), (3, 0), (0, 4), (6, 9)])
def test_one_cell_is_its_likelihood_ratio(canary: int, control: int):
    test = told([True] * canary + [False] * control, 0.2, grid=(3.0,), shares=(1.0,))
    bet = 0.2 * 3 / (0.2 * 3 + 0.8)
    expected = canary * math.log(bet / 0.2) + control * math.log((1 - bet) / 0.8)
    assert test.wealth.log_e == pytest.approx(expected, abs=1e-12)
    assert (test.canary, test.control) == (canary, control)


@given(weights, st.floats(0.2, 5), st.floats(0.01, 1))
def test_a_failure_is_a_fair_bet_at_the_tolerated_ratio_and_a_bad_one_below(weight: float, limit: float, part: float):
    control, canary = gains_of(weight, limit, GRID)
    for ratio, fair in ((limit, True), (limit * part, False)):
        chance = theta(weight, ratio)
        for loss, win in zip(control, canary, strict=True):
            mean = chance * math.exp(win) + (1 - chance) * math.exp(loss)
            assert mean == pytest.approx(1, rel=1e-9) if fair else mean <= 1 + 1e-9


def test_the_order_of_failures_does_not_matter():
    endings = {round(told(list(order)).wealth.log_e, 12) for order in permutations([True, True, False, False])}
    assert len(endings) == 1


def test_each_failure_is_judged_by_the_weight_it_was_assigned_under():
    rising = failure_test()
    for weight in (0.05, 0.25, 0.5):
        rising.observe(True, weight)
    rarer, likelier = told([True] * 3, 0.05), told([True] * 3, 0.5)
    assert likelier.wealth.log_e < rising.wealth.log_e < rarer.wealth.log_e


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf])
def test_a_weight_that_compares_nothing_moves_nothing(weight: float):
    test = told([True, False], weight)
    assert test.wealth.log_e == pytest.approx(0)
    assert test.skipped == 2


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.05, 0.1, 0.5]), st.integers(0, 7)), max_size=60))
def test_parts_merge_to_the_whole(failures: list[tuple[bool, float, int]]):
    whole, merged = failure_test(), failure_test()
    parts = [failure_test() for _ in range(8)]
    for canary, weight, gateway in failures:
        whole.observe(canary, weight)
        parts[gateway].observe(canary, weight)
    for part in parts:
        merged.merge(part)
    assert merged.wealth.logs == pytest.approx(whole.wealth.logs, abs=1e-9)
    assert (merged.canary, merged.control) == (whole.canary, whole.control)


def test_only_alike_tests_merge():
    with pytest.raises(ValueError, match="alike"):
        failure_test().merge(failure_test(2.0))


@pytest.mark.parametrize(
    "bad", [{"tolerated": 0.0}, {"tolerated": math.nan}, {"grid": (0.0,), "shares": (1.0,)}, {"shares": (0.5,)},
            {"grid": (2.0, 3.0), "shares": (0.9, 0.2)}, {"grid": (2.0,), "shares": (0.0,)}]
)  # fmt: skip
def test_what_cannot_be_a_test_is_refused(bad: dict[str, object]):
    with pytest.raises(ValueError, match=r"over 0|share"):
        failure_test(**bad)  # type: ignore[arg-type]


def test_twenty_thousand_failures_of_one_arm_stay_finite():
    for canary in (True, False):
        test = told([canary] * 20_000)
        assert math.isfinite(test.wealth.log_e)
        assert 0 <= test.wealth.p_value <= 1
