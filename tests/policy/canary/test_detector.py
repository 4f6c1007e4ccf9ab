import math
import random

import msgspec
import pytest

from inference.policy.canary.detector import Detector, detector


def watch(shares: list[float], seed: int, **settings: float) -> Detector:
    chance = random.Random(seed)
    watched = detector(0.02, len(shares), **settings)
    for share in shares:
        watched.observe(chance.random() < share)
    return watched


def test_a_healthy_version_is_left_alone_for_the_whole_watch():
    alarms = sum(watch([0.02] * 3000, seed, alpha=0.05).alarm_at is not None for seed in range(60))
    assert alarms <= 6  # 5 % of 60 is 3


@pytest.mark.parametrize("healthy", [0, 2000, 20_000])
def test_a_change_is_found_as_fast_late_as_early(healthy: int):
    """A test from the beginning would need longer the longer all was well; this one does not."""
    delays = []
    for seed in range(9):
        alarm_at = watch([0.02] * healthy + [0.2] * 400, seed).alarm_at
        assert alarm_at is not None
        delays.append(alarm_at - healthy)
    assert 0 < sorted(delays)[4] < 150


def test_an_alarm_stays():
    watched = watch([1.0] * 50 + [0.0] * 500, 1)
    assert watched.alarm_at is not None
    assert watched.observe(False)
    assert watched.alarm_at < 50


def test_its_state_travels_as_json_and_goes_on_to_the_same_bits():
    watched = watch([0.05] * 100, 1)
    again = msgspec.json.decode(msgspec.json.encode(watched), type=Detector)
    for bad in (True, False, True):
        watched.observe(bad)
        again.observe(bad)
    assert again == watched


@pytest.mark.parametrize("limit, units, alpha", [(0.0, 10, 0.01), (1.0, 10, 0.01), (0.1, 0, 0.01), (0.1, 10, math.nan)])
def test_what_cannot_be_watched_is_refused(limit: float, units: int, alpha: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        detector(limit, units, alpha)
