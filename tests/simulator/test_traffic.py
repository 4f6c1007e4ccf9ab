import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.simulator.traffic import Traffic, bursts, diurnal, merge, poisson, spike, traffic_of, varying


def chance(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


MAKERS = {
    "poisson": lambda seed: poisson(5.0, 200.0, chance(seed)),
    "diurnal": lambda seed: diurnal(5.0, 0.8, 200.0, chance(seed), period_s=100.0),
    "bursts": lambda seed: bursts(2.0, 40.0, 200.0, chance(seed)),
    "spike": lambda seed: spike(2.0, 50.0, 20.0, 10.0, 200.0, chance(seed)),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_each_generator_is_ordered_inside_its_span_and_the_same_by_seed(maker: str) -> None:
    one, again, other = MAKERS[maker](1), MAKERS[maker](1), MAKERS[maker](2)
    assert np.array_equal(one.at_s, again.at_s)
    assert not np.array_equal(one.at_s, other.at_s)
    assert np.all(np.diff(one.at_s) >= 0)
    assert one.at_s[0] >= 0
    assert one.at_s[-1] <= one.seconds == 200.0


def test_rates_are_those_that_were_asked_for() -> None:
    assert poisson(50.0, 400.0, chance()).rate == pytest.approx(50.0, rel=0.03)
    wave = diurnal(50.0, 0.8, 400.0, chance(), period_s=400.0)
    assert len(wave.between(150.0, 250.0)) > 3 * len(wave.between(0.0, 100.0))
    jump = spike(1.0, 100.0, 100.0, 10.0, 400.0, chance())
    assert len(jump.between(100.0, 110.0)) == pytest.approx(1000, rel=0.15)


@given(
    st.lists(st.floats(0, 50), max_size=60),
    st.floats(min_value=0.01, max_value=1000),
)
def test_a_change_of_rate_keeps_everyone_and_the_shape(times: list[float], rate: float) -> None:
    traffic = traffic_of(times, 50.0)
    changed = traffic.at_rate(rate)
    assert len(changed) == len(traffic)
    if times:
        assert changed.rate == pytest.approx(rate)
        assert changed.at_s * (rate / traffic.rate) == pytest.approx(traffic.at_s, abs=1e-6)


def test_repeats_and_slices_fit_together() -> None:
    hour = poisson(2.0, 100.0, chance())
    day = hour.repeated(3)
    assert (len(day), day.seconds) == (3 * len(hour), 300.0)
    assert day.between(100.0, 200.0).at_s == pytest.approx(hour.at_s)
    assert len(day.between(50.0, 50.0)) == 0


@given(st.lists(st.lists(st.floats(0, 9), max_size=20), max_size=4))
@settings(max_examples=50)
def test_merged_streams_keep_every_request_in_order(parts: list[list[float]]) -> None:
    together = merge(*(traffic_of(part, 10.0, input_tokens=number) for number, part in enumerate(parts)))
    assert together.at_s.tolist() == sorted(moment for part in parts for moment in part)
    assert np.bincount(together.input_tokens, minlength=len(parts)).tolist()[: len(parts)] == [len(p) for p in parts]


def test_no_traffic_is_traffic_too() -> None:
    for empty in (merge(), varying([], 1.0, chance()), poisson(0.0, 10.0, chance()), poisson(5.0, 0.0, chance())):
        assert len(empty) == 0
        assert empty.rate == 0.0
        assert len(empty.at_rate(3.0).repeated(2)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: poisson(-1.0, 10.0, chance()),
        lambda: poisson(float("nan"), 10.0, chance()),
        lambda: poisson(1.0, float("inf"), chance()),
        lambda: poisson(1e9, 1e9, chance()),
        lambda: bursts(1.0, 2.0, 10.0, chance(), calm_s=0.0),
        lambda: traffic_of([1.0, float("nan")], 10.0),
        lambda: traffic_of([-1.0], 10.0),
        lambda: traffic_of([11.0], 10.0),
        lambda: traffic_of([1.0], 10.0).at_rate(0.0),
        lambda: traffic_of([0.0, 1.0], 10.0).at_rate(5e-324),
        lambda: traffic_of([1.0], 10.0).between(0.0, float("nan")),
        lambda: traffic_of([1.0], 10.0).between(-float("inf"), 1.0),
        lambda: traffic_of([1.0], float("inf")),
        lambda: bursts(1.0, 2.0, float("inf"), chance()),
        lambda: bursts(0.0, 0.0, float("nan"), chance()),
        lambda: bursts(1.0, float("nan"), 0.0, chance()),
        lambda: bursts(0.0, 0.0, 1e12, chance(), calm_s=1e-9, burst_s=1e-9),
        lambda: spike(1.0, 2.0, 1.0, 1.0, float("nan"), chance()),
        lambda: diurnal(1.0, 0.5, float("inf"), chance()),
        lambda: diurnal(1.0, 0.5, 10.0, chance(), period_s=0.0),
        lambda: diurnal(1.0, 0.5, 10.0, chance(), period_s=5e-324),
    ],
)
def test_what_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_a_slice_counts_its_own_span() -> None:
    traffic: Traffic = traffic_of([1.0, 2.0, 8.0], 10.0)
    assert traffic.between(2.0, 99.0).seconds == 8.0
    assert traffic.between(2.0, 99.0).at_s.tolist() == [0.0, 6.0]
