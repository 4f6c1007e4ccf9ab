import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.policy.canary.absolute import OVER, UNDER, absolute_test, gains_of

limits = st.floats(0.0001, 0.9999)


@given(limits, st.floats(0, 1))
def test_each_unit_is_a_bad_bet_while_the_limit_is_kept(limit: float, part: float):
    for odds, share in ((OVER, limit * part), (UNDER, limit + (1 - limit) * part)):
        good, bad = gains_of(limit, odds)
        for gain, loss in zip(good, bad, strict=True):
            assert (1 - share) * math.exp(gain) + share * math.exp(loss) <= 1 + 1e-9


def test_a_canary_over_its_limit_is_found_and_one_under_it_is_left_alone():
    chance = random.Random(1)
    kept, broken, spoken_for = absolute_test(0.05), absolute_test(0.05), absolute_test(0.05, UNDER)
    for _ in range(2000):
        kept.observe(chance.random() < 0.03)
        broken.observe(chance.random() < 0.12)
        spoken_for.observe(chance.random() < 0.01)
    assert kept.wealth.p_value > 0.01
    assert broken.wealth.p_value < 1e-6
    assert spoken_for.wealth.p_value < 1e-6


def test_parts_merge_to_the_whole():
    whole, merged = absolute_test(0.1), absolute_test(0.1)
    for bads in ([True, False, False], [], [True, True]):
        part = absolute_test(0.1)
        for bad in bads:
            part.observe(bad)
            whole.observe(bad)
        merged.merge(part)
    assert merged.wealth.logs == pytest.approx(whole.wealth.logs, abs=1e-12)
    assert (merged.good, merged.bad) == (2, 3)
    with pytest.raises(ValueError, match="limit"):
        merged.merge(absolute_test(0.2))


@pytest.mark.parametrize("limit", [0.0, 5e-324, 1e-17, math.nextafter(1.0, 0.0), 1.0, -1.0, 5.0, math.nan])
def test_a_limit_that_leaves_nothing_to_bet_on_is_refused(limit: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        absolute_test(limit)
