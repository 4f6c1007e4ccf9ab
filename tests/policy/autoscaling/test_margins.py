from itertools import pairwise
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from inference.policy.autoscaling.load import Load
from inference.policy.autoscaling.margins import (
    MARGINS,
    MOST_SURPRISE,
    SURPRISE_PRIOR,
    Margins,
    Surprise,
    line_after,
)
from inference.simulator.durations import Constant
from inference.simulator.scaling import Setting, Workload, play
from inference.simulator.traffic import poisson


def scattered(seconds: int, seed: int = 2) -> list[float]:
    chance = Random(seed)
    return [20.0 + chance.gauss(6, 4) for _ in range(seconds)]


def late_with(margin: float, peaks: list[float], here: float = 20.0) -> float:
    """Played anew with that margin alone: the part of requests, of one a second, that is late."""
    aside = total = 0.0
    for peak in peaks:
        slots = 20.0 + margin * 20.0**0.5
        aside, newly = line_after(aside, here, peak, slots, 1.0)
        total += min(newly, 1.0)
    return total / len(peaks)


def test_without_a_history_chance_is_normal() -> None:
    assert Margins().least(0.005) == pytest.approx(2.58, abs=0.11)
    assert Margins().least(0.5) == MARGINS[0]


def test_the_least_margin_is_the_first_with_which_the_past_kept_the_promise() -> None:
    margins, peaks = Margins(), scattered(6000)
    for peak in peaks:
        margins.observe(20.0, 20.0, peak, 1, 1.0, 1.0)
    for share in (0.01, 0.05, 0.2):
        least = margins.least(share)
        below = MARGINS[MARGINS.index(least) - 1]
        assert late_with(least, peaks) <= share * 1.03  # the prior is 2 % of it
        assert late_with(below, peaks) > share * 0.97


def test_who_is_late_is_served_only_by_slots_that_nobody_else_takes() -> None:
    aside, newly = line_after(0.0, 9.0, 15.0, slots=10.0, patience=1.2)
    assert (aside, newly) == (3.0, 3.0)
    assert line_after(aside, 12.0, 14.0, 10.0, 1.2) == (2.0, 0.0)  # ten at work, two of them still aside
    assert line_after(aside, 8.0, 9.0, 10.0, 1.2) == (0.0, 0.0)
    assert line_after(aside, 14.0, 17.0, 10.0, 1.2) == (5.0, 2.0)


figures = st.tuples(st.floats(0, 200), st.floats(0, 100))


@given(st.lists(figures, min_size=1, max_size=60), st.floats(1.0, 5.0), st.floats(1, 60), st.floats(0, 40))
@settings(max_examples=100, deadline=None)
def test_a_larger_fleet_never_has_more_aside(
    drawn: list[tuple[float, float]], patience: float, slots: float, more: float
) -> None:
    small = large = 0.0
    for here, above in drawn:
        small, _ = line_after(small, here, here + above, slots, patience)
        large, newly = line_after(large, here, here + above, slots + more, patience)
        assert 0.0 <= large <= small + 1e-9
        assert newly >= 0.0


def test_old_weights_never_overflow_and_fade() -> None:
    margins = Margins()
    margins.observe(4.0, 4.0, 40.0, 10, 1.0, 1000.0)
    assert margins.least(0.005) > 15.0
    for _ in range(200):
        margins.fade(0.5**8)
        margins.observe(4.0, 4.0, 5.0, 1, 1.0, 60.0)
    assert margins.total < inf
    assert margins.least(0.005) < 1.0


def test_margins_rise_from_near_nothing_to_more_than_any_load() -> None:
    assert all(0.0 < low < high for low, high in pairwise(MARGINS))
    assert MARGINS[-1] > 10_000


def ratio_on(late_last: bool) -> float:
    """On even traffic with a replica too few, for an hour."""
    chance = default_rng(4)
    at_s = poisson(5.0, 3600.0, chance).at_s
    work = Workload(at_s.tolist(), chance.gamma(2.0, 2.0, len(at_s)).tolist(), 4)
    surprise = Surprise()

    def watch(load: Load, now_s: float) -> int:
        surprise.observe(load, 4, 1.25, True, 1.0)
        return 7

    play(work, watch, Setting(Constant(30.0), 30.0, initial=7, late_last=late_last))
    return surprise.ratio


def test_a_line_in_which_nobody_makes_way_is_found_out() -> None:
    assert ratio_on(late_last=False) > 2.0 * ratio_on(late_last=True)


def test_nothing_is_learnt_but_in_calm_and_all_is_bounded_and_forgotten() -> None:
    surprise = Surprise()
    many = Load(ready=5, concurrency=15.0, peak=18.0, arrivals=9, late=9)
    surprise.observe(many, 4, 1.25, False, 1.0)
    assert surprise.ratio == 1.0
    for _ in range(50):
        surprise.observe(many, 4, 1.25, True, 1.0)
    assert surprise.ratio == MOST_SURPRISE
    surprise.observe(Load(), 4, 1.25, True, 1e6)  # nobody there: nothing to learn from
    assert surprise.ratio == MOST_SURPRISE
    surprise.observe(Load(ready=5), 4, 1.25, True, 1e6)
    assert (surprise.seen, surprise.expected) == pytest.approx((SURPRISE_PRIOR, SURPRISE_PRIOR))


def test_fewer_late_than_expected_is_no_reason_to_promise_less() -> None:
    surprise = Surprise()
    for _ in range(50):
        surprise.observe(Load(ready=1, concurrency=4.0, peak=30.0, arrivals=20), 4, 1.25, True, 1.0)
    assert surprise.ratio == 1.0


def test_two_bursts_with_calm_between_are_late_twice() -> None:
    """Those of the first are served by then, so the second's find no line of theirs to hide behind."""
    margins = Margins()
    for here, peak in ((20.0, 60.0), (2.0, 2.0), (60.0, 60.0)):
        margins.observe(20.0, here, peak, 100, 1.0, 1.0)
    wide = MARGINS.index(5.0)  # 42.4 slots
    assert margins.late[wide] == pytest.approx(2 * (60.0 - 20.0 - 5.0 * 20.0**0.5), abs=0.001)
