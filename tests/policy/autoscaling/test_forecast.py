from random import Random

import pytest

from inference.policy.autoscaling.forecast import LIKELY, Forecast, Pulse
from inference.policy.autoscaling.load import Load


def steady(concurrency: float, peak: float, arrivals: int, service_s: float = 1.0, **fields: float) -> Load:
    return Load(
        ready=10, concurrency=concurrency, peak=peak, arrivals=arrivals, finished=arrivals,
        service_s=arrivals * service_s, **fields,
    )  # fmt: skip


def after(seconds: int, load: Load, forecast: Forecast | None = None) -> Forecast:
    forecast = forecast or Forecast()
    for _ in range(seconds):
        forecast.observe(load, 1.0, 1.0)
    return forecast


def test_without_a_history_there_is_no_level_and_nothing_known_of_services() -> None:
    forecast = Forecast()
    assert forecast.service_mean_s == forecast.level == 0.0
    assert forecast.patience(1.0) == 1.0


def test_the_level_is_what_is_here_on_average_from_the_first_second() -> None:
    assert after(1, steady(8.0, 9, 5)).level == pytest.approx(8.0)
    assert after(600, steady(8.0, 9, 5)).level == pytest.approx(8.0)


def test_clumps_need_more_slots_than_the_same_load_evenly() -> None:
    even = after(900, steady(16.0, 17, 4, 4.0))
    clumped = after(900, steady(16.0, 40, 4, 4.0))
    assert clumped.slots_needed(0.005, 1.0)[0] > 1.2 * even.slots_needed(0.005, 1.0)[0]


def test_short_services_need_hardly_more_slots_than_they_fill() -> None:
    short, _ = after(900, steady(16.0, 40, 800, 0.02)).slots_needed(0.005, 1.0)
    long, _ = after(900, steady(16.0, 40, 4, 4.0)).slots_needed(0.005, 1.0)
    assert 16.0 < short <= 20.0 < 24.0 < long


def test_a_smaller_promise_never_needs_more() -> None:
    chance = Random(1)
    forecast = Forecast()
    for _ in range(1200):
        here = max(0.0, chance.gauss(20, 5))
        forecast.observe(steady(here, here + chance.random() * 6, 5, 4.0), 1.0, 1.0)
    needs = [forecast.slots_needed(share, 1.0)[0] for share in (0.001, 0.005, 0.02, 0.1, 0.5)]
    assert needs == sorted(needs, reverse=True)


def test_a_backlog_is_not_taken_for_load() -> None:
    """10 a second of 1 s each fill 10 slots, whatever their number in line."""
    forecast = after(300, steady(10.0, 12, 10))
    jam = Load(
        ready=2, concurrency=400.0, peak=400.0, waiting=392, oldest_wait_s=40.0, arrivals=10, finished=8, service_s=8.0
    )
    after(60, jam, forecast)
    assert forecast.level < 30
    assert forecast.slots_needed(0.005, 1.0)[0] < 60


def test_a_jump_of_the_level_is_taken_at_once() -> None:
    forecast = after(600, steady(4.0, 5, 4))
    after(30, steady(60.0, 64, 60), forecast)
    assert forecast.level > 45


def test_the_pulse_counts_what_comes_and_what_waits() -> None:
    pulse = Pulse()
    for _ in range(20):
        pulse.observe(Load(arrivals=50), 1.0)
    assert pulse.slots_needed(Load(), 2.0, 30.0) == pytest.approx(100.0, rel=0.02)
    assert pulse.slots_needed(Load(waiting=300), 2.0, 30.0) == pytest.approx(120.0, rel=0.02)
    assert pulse.slots_needed(Load(concurrency=7.0), 0.0, 30.0) == 7.0  # nothing known of services: a slot each


def test_a_margin_asks_for_no_more_than_were_ever_here() -> None:
    """Learnt at a level of 1 from clumps of 30, it would ask at a level of 100 for hundreds."""
    forecast = after(900, steady(1.0, 30, 1, 4.0))
    _, low = forecast.slots_needed(0.005, 1.0)
    after(300, steady(100.0, 110, 25, 4.0), forecast)
    _, high = forecast.slots_needed(0.005, 1.0)
    assert low["margin"] * 100.0**0.5 > 200.0
    assert high["met"] <= 100.0 + LIKELY * 100.0**0.5 + 1.0


def test_a_quiet_hour_is_not_drowned_by_a_busy_minute() -> None:
    """Seconds count, not requests: for an hour somebody is late once a minute, then hundreds come who are not."""
    forecast = Forecast()
    for second in range(3600):
        after(1, steady(4.0, 16 if second % 60 else 30, 1, 4.0), forecast)
    before = forecast.margins.least(0.005)
    after(60, steady(4.0, 4.0, 400, 4.0), forecast)
    assert before > 10.0
    assert forecast.margins.least(0.005) == before
