"""Forecasts against simulation: of use only where they are near."""

import math
import random
import statistics

import pytest

from inference.policy.canary import power
from inference.policy.canary.errors import failure_test, theta
from inference.policy.canary.latency import latency_test
from inference.policy.canary.thresholds import freeze


@pytest.mark.parametrize("ratio", [3.0, 5.0, 10.0])
def test_failures_to_detect_are_near_what_a_simulation_needs(ratio: float):
    chance, found = random.Random(1), []
    for _ in range(150):
        test = failure_test()
        while test.wealth.log_e < math.log(100):
            test.observe(chance.random() < theta(0.1, ratio), 0.1)
        found.append(test.canary + test.control)
    forecast = power.failures_to_detect(0.1, ratio)
    assert forecast.p50 == pytest.approx(statistics.median(found), rel=0.3)
    assert forecast.p95 == pytest.approx(sorted(found)[142], rel=0.3)


def test_canary_requests_to_detect_are_near_what_a_simulation_needs():
    chance, found = random.Random(1), []
    control = [chance.lognormvariate(0, 0.5) for _ in range(2000)]
    thresholds = freeze(control)
    assert thresholds is not None
    for _ in range(60):
        test = latency_test(thresholds)
        while test.wealth.log_e < math.log(100):
            canary = chance.random() < 0.1
            test.observe(canary, 0.1, chance.lognormvariate(0, 0.5) * (1.4 if canary else 1))
        found.append(test.canary)
    forecast = power.latencies_to_detect(control, thresholds, 1.4, 0.1)
    assert forecast.p50 == pytest.approx(statistics.median(found), rel=0.35)


def test_excluding_twice_the_failures_at_a_tenth_takes_about_115():
    assert power.failures_to_promote(0.1, 2.0, beta=0.05) == pytest.approx(115, abs=1)


def test_time_and_exposure_follow_from_traffic():
    """10 requests/s, 1 % failing, the canary at 10 % ten times that: 0.19 failures, 1 canary request a second."""
    forecast = power.forecast_failures(power.Passage(19, 38), 0.1, 10.0, 10.0, 0.01)
    assert forecast.seconds.p50 == pytest.approx(100)
    assert forecast.exposed.p95 == pytest.approx(200)
    slow = power.forecast_latencies(power.Passage(30, 60), 0.1, 10.0)
    assert slow.seconds.p50 == pytest.approx(30)
    assert slow.exposed.p95 == pytest.approx(60)


@pytest.mark.parametrize("weight, ratio", [(0.0, 3.0), (1.0, 3.0), (0.1, 1.0), (0.1, 0.5), (0.1, 0.0), (math.nan, 3.0)])
def test_what_is_tolerated_or_cannot_be_compared_is_never_found(weight: float, ratio: float):
    assert power.failures_to_detect(weight, ratio) == power.NEVER


def test_bad_traffic_is_refused():
    with pytest.raises(ValueError, match="requests per second"):
        power.forecast_failures(power.Passage(1, 2), 0.1, 2.0, 0.0, 0.01)
    for rate in (math.nan, math.inf, -1.0):
        with pytest.raises(ValueError, match="requests per second"):
            power.forecast_latencies(power.Passage(1, 2), 0.1, rate)
    for weight in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="weight"):
            power.forecast_failures(power.Passage(1, 2), weight, 2.0, 1.0, 0.01)
    with pytest.raises(ValueError, match="failing share"):
        power.forecast_failures(power.Passage(1, 2), 0.1, 2.0, 1.0, 0.0)
    assert power.failures_to_promote(0.0) == power.failures_to_promote(0.1, excluded=1.0) == math.inf


@pytest.mark.parametrize("passage", [power.NEVER, power.Passage(10, 20)])
def test_a_canary_that_is_sent_nothing_is_exposed_to_nobody(passage: power.Passage):
    assert power.forecast(passage, 0.0, 0.0) == power.Forecast(passage, power.NEVER, power.NOBODY)
    assert power.forecast(passage, 1.0, 0.0).exposed == power.NOBODY
    assert power.forecast_latencies(passage, 0.0, 10.0).exposed == power.NOBODY
    never = power.forecast(power.NEVER, 1.0, 2.0)
    assert never.seconds == never.exposed == power.NEVER
