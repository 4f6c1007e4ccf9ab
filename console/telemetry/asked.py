"""A query as it stands in an address: `?series=latency_ms&q=0.5,0.95&by=version&range=1h` or with `start` and `end`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import get_args

from django.utils.dateparse import parse_datetime

from console.lib.errors import Invalid
from console.lib.numbers import read_whole
from console.telemetry.series import RANGES, STEPS_OF_RANGES, By, Query, check, step_for

PARAMETERS = frozenset({"series", "q", "by", "model", "range", "start", "end", "step"})
DEFAULT_RANGE = "15m"


def read_query(given: Mapping[str, str], now_s: float) -> Query:
    """Raises Invalid with the parameter that cannot be right."""
    start, end = read_range(given, now_s)
    named = given.get("range", DEFAULT_RANGE) if not given.get("start") else ""
    step = read_step(given.get("step", ""), end - start, STEPS_OF_RANGES.get(named))
    by = given.get("by", "version")
    if by not in get_args(By):
        raise Invalid.field("by", f"'by' is one of {', '.join(get_args(By))}, not {by!r}.")
    if end > start:
        start -= start % step
    return check(
        Query(
            series=tuple(name for name in given.get("series", "latency_ms").split(",") if name),
            start=start,
            end=end,
            step=step,
            by=by,  # type: ignore[arg-type]  # it is one of them
            q=read_quantiles(given.get("q", "0.5,0.95,0.99")),
            model=given.get("model", ""),
        )
    )


def read_range(given: Mapping[str, str], now_s: float) -> tuple[int, int]:
    """(start, end) in seconds, end exclusive: absolute where given, else the last `range` up to now."""
    name = given.get("range", DEFAULT_RANGE)
    if name not in RANGES:
        raise Invalid.field("range", f"A range is one of {', '.join(RANGES)}, or give start and end.")
    end = read_time("end", given["end"]) if given.get("end") else int(now_s) + 1
    start = read_time("start", given["start"]) if given.get("start") else end - RANGES[name]
    return start, end


def read_time(name: str, text: str) -> int:
    second = read_whole(text, otherwise=-1)
    if 0 <= second < 10**11:
        return second
    try:
        moment = parse_datetime(text.replace(" ", "+"))  # a plus sign not escaped arrives as a blank
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid.field(name, f"{name}={text!r} is no time: give seconds since 1970 or 2026-11-24T05:40:00Z.")
    return int(moment.timestamp())


def read_step(text: str, span_s: int, usual: int | None) -> int:
    if not text:
        return usual or step_for(max(span_s, 1))
    step = read_whole(text, otherwise=0)
    if not 0 < step <= 86_400:
        raise Invalid.field("step", f"step={text!r} is not usable: whole seconds, 1 to 86400.")
    return step


def read_quantiles(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise Invalid.field("q", f"q={text!r} is not usable: numbers such as 0.5,0.95,0.99.") from None


def spell_time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
