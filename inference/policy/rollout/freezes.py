"""Freezes: times at which no canary gets more traffic. Going back is always allowed.

A freeze is written in local time, as people mean it, and read so that doubt makes it longer. Where clocks go forward, a
begin or end that is skipped counts as the moment of the change. Where clocks go back, an hour comes twice: a freeze
begins with the first and ends with the second. A freeze of a zone that is not known here holds until it is corrected.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from math import inf, isfinite
from zoneinfo import ZoneInfo

from inference.errors import BadDocument
from inference.spec import Freeze

DAY = timedelta(days=1)


@lru_cache(maxsize=256)
def find_zone(name: str) -> tzinfo | None:
    """The zone of that name; read once from the system's data, of which UTC needs none."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there; no name of a zone at all
        return None


def find_freeze_end(freezes: Iterable[Freeze], now_s: float) -> float | None:
    """Unix time at which the freezes in force at `now_s` are over; None while there is none.

    Infinite while one holds of which the end cannot be told: its zone is unknown, or `now_s` is no time that a calendar
    has (NaN, or outside the years 2 to 9998).
    """
    ends = [end for freeze in freezes if (end := freeze_end(freeze, now_s)) is not None]
    return max(ends) if ends else None


def freeze_end(freeze: Freeze, now_s: float) -> float | None:
    """When this freeze is over, or None while it is not in force."""
    zone = find_zone(freeze.zone)
    if zone is None or not isfinite(now_s):
        return inf
    try:
        today = datetime.fromtimestamp(now_s, zone).date()
        # A window is at most a day long and an hour of doubt, so it began yesterday or today, if at all.
        windows = [window_of(freeze, day, zone) for day in (today - DAY, today, today + DAY) if begins_on(freeze, day)]
    except (OverflowError, OSError, ValueError):
        return inf
    ends = [end for begin, end in windows if begin <= now_s < end]
    return max(ends) if ends else None


def begins_on(freeze: Freeze, day: date) -> bool:
    text = day.isoformat()
    return (
        day.weekday() in freeze.days
        and (not freeze.first_date or freeze.first_date <= text)
        and (not freeze.last_date or text <= freeze.last_date)
    )


def window_of(freeze: Freeze, day: date, zone: tzinfo) -> tuple[float, float]:
    """Unix times of begin and end of the window that begins on `day`."""
    begin = moment(day, freeze.begins, zone, last=False)
    last_day = day if freeze.ends > freeze.begins else day + DAY
    return begin, max(begin, moment(last_day, freeze.ends, zone, last=True))


def moment(day: date, clock: str, zone: tzinfo, last: bool) -> float:
    """Unix time at which a clock on the wall shows `clock`: the first such time, or the last.

    A time that is skipped counts as the moment at which clocks jump.
    """
    hours, minutes = int(clock[:2]), int(clock[3:])
    if hours == 24:
        day, hours = day + DAY, 0
    naive = datetime(day.year, day.month, day.day, hours, minutes)  # noqa: DTZ001 - the zone comes next
    both = [naive.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)]
    if both[0] > both[1]:  # skipped: fold 0 reads it by the offset from before the jump, fold 1 by the one from after
        return find_jump(both[1], both[0], zone)
    return both[1] if last else both[0]


def find_jump(low_s: float, high_s: float, zone: tzinfo) -> float:
    """The second in (low, high] at which the zone's offset changes."""
    before = offset(low_s, zone)
    low, high = int(low_s), int(high_s)
    while high - low > 1:
        middle = (low + high) // 2
        if offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return float(high)


def offset(at_s: float, zone: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).utcoffset()


def check_freeze(freeze: Freeze) -> None:
    """Raise BadDocument for a freeze that would never be in force, or whose dates or zone do not exist."""
    if find_zone(freeze.zone) is None:
        raise BadDocument(f"The time zone {freeze.zone!r} is not known here. Use a name such as Europe/Berlin or UTC.")
    for text in (freeze.first_date, freeze.last_date):
        try:
            date.fromisoformat(text or "2000-01-01")
        except ValueError as error:
            raise BadDocument(f"There is no date {text}: {error}. Write it as 2026-12-24.") from error
    if not freeze.days:
        raise BadDocument("The freeze has no days on which it begins. Name some, 0 for Monday to 6 for Sunday.")
    if freeze.first_date and freeze.last_date and freeze.last_date < freeze.first_date:
        raise BadDocument(
            f"The freeze may last begin on {freeze.last_date}, which is before {freeze.first_date}. Exchange the dates."
        )
