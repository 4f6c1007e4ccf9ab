"""Freezes over midnight, over changes of the clock, and over what no calendar has."""

from datetime import datetime, timedelta
from math import inf, nan
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import BadDocument
from inference.policy.rollout.freezes import check_freeze, find_freeze_end
from inference.spec import Freeze

BERLIN = "Europe/Berlin"  # clocks go forward on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


NIGHTS = Freeze(begins="22:00", ends="06:00", zone=BERLIN)
WEEKEND_EVE = Freeze(days=(4,), begins="16:00", ends="24:00", zone=BERLIN)
HOLIDAYS = Freeze(first_date="2026-12-23", last_date="2026-12-31", zone=BERLIN)
SKIPPED = Freeze(begins="02:15", ends="02:45", zone=BERLIN)
TWICE = Freeze(begins="02:15", ends="02:30", zone=BERLIN)


@pytest.mark.parametrize(
    "freeze, now, end",
    [
        (NIGHTS, "2026-05-05 21:59:59", None),
        (NIGHTS, "2026-05-05 22:00", "2026-05-06 06:00"),
        (NIGHTS, "2026-05-06 05:59:59", "2026-05-06 06:00"),
        (NIGHTS, "2026-05-06 06:00", None),
        (WEEKEND_EVE, "2026-05-08 18:00", "2026-05-09 00:00"),
        (WEEKEND_EVE, "2026-05-09 00:00", None),
        (WEEKEND_EVE, "2026-05-07 18:00", None),
        (HOLIDAYS, "2026-12-22 23:59", None),
        (HOLIDAYS, "2026-12-31 23:59", "2027-01-01 00:00"),
        (HOLIDAYS, "2027-01-01 00:00", None),
        (NIGHTS, "2026-03-29 01:30", "2026-03-29 06:00"),
        (NIGHTS, "2026-10-25 02:30", "2026-10-25 06:00"),
        (Freeze(begins="10:00", ends="10:00", zone=BERLIN), "2026-05-06 09:59", "2026-05-06 10:00"),
    ],
)
def test_a_freeze_holds_in_local_time(freeze: Freeze, now: str, end: str | None) -> None:
    assert find_freeze_end([freeze], at(now)) == (at(end) if end else None)


def test_a_time_that_is_skipped_is_the_moment_of_the_change() -> None:
    jump = at("2026-03-29 03:00")
    assert find_freeze_end([SKIPPED], jump - 1) is None
    assert find_freeze_end([SKIPPED], jump) is None
    until = Freeze(begins="01:00", ends="02:30", zone=BERLIN)
    assert find_freeze_end([until], jump - 1) == jump


def test_an_hour_that_comes_twice_is_frozen_from_its_first_to_its_second() -> None:
    first, last = at("2026-10-25 02:15"), at("2026-10-25 02:30", fold=1)
    assert last - first == 4500
    assert find_freeze_end([TWICE], first - 1) is None
    assert find_freeze_end([TWICE], first) == last
    assert find_freeze_end([TWICE], at("2026-10-25 02:50")) == last
    assert find_freeze_end([TWICE], last) is None


def test_of_several_freezes_the_last_to_end_counts() -> None:
    assert find_freeze_end([WEEKEND_EVE, NIGHTS], at("2026-05-08 23:00")) == at("2026-05-09 06:00")
    assert find_freeze_end([], 0.0) is None


@pytest.mark.parametrize("now_s", [nan, inf, -inf, 1e18, -1e18])
def test_a_time_that_no_calendar_has_is_frozen(now_s: float) -> None:
    assert find_freeze_end([NIGHTS], now_s) == inf


def test_a_zone_that_is_not_known_freezes_until_it_is_corrected() -> None:
    nowhere = Freeze(zone="Mars/Olympus")
    assert find_freeze_end([nowhere], 0.0) == inf
    with pytest.raises(BadDocument, match="Mars/Olympus"):
        check_freeze(nowhere)


@pytest.mark.parametrize(
    "freeze, said",
    [
        (Freeze(first_date="2026-02-30"), "2026-02-30"),
        (Freeze(days=()), "no days"),
        (Freeze(first_date="2026-12-31", last_date="2026-12-01"), "before"),
        (Freeze(zone="../etc/passwd"), "not known"),
    ],
)
def test_a_freeze_that_could_not_be_meant_is_refused(freeze: Freeze, said: str) -> None:
    with pytest.raises(BadDocument, match=said):
        check_freeze(freeze)


clocks = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))


@settings(max_examples=200, deadline=None)
@given(
    begins=clocks,
    ends=st.one_of(clocks, st.just("24:00")),
    zone=st.sampled_from([BERLIN, "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe", "UTC"]),
    now=st.datetimes(datetime.fromisoformat("2011-01-01"), datetime.fromisoformat("2030-01-01")),
    days=st.sets(st.integers(0, 6), min_size=1),
)
def test_a_freeze_ends_when_it_says(begins: str, ends: str, zone: str, now: datetime, days: set[int]) -> None:
    freeze = Freeze(begins=begins, ends=ends, zone=zone, days=tuple(days))
    check_freeze(freeze)
    now_s = now.replace(tzinfo=ZoneInfo(zone)).timestamp()
    end = find_freeze_end([freeze], now_s)
    if end is None:
        return
    assert now_s < end <= now_s + timedelta(hours=50).total_seconds()
    assert find_freeze_end([freeze], end - 1) is not None
    after = find_freeze_end([freeze], end)
    assert after is None or after > end, "only the next day's own window may follow at once"
