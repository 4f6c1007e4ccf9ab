"""Numbers with their unit and times with their age. An unknown number is a dash, never a zero."""

from datetime import UTC, datetime
from typing import TypeGuard

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

UNKNOWN = mark_safe('<span class="faint" title="Not measured">–</span>')
STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (float("inf"), 86_400, "d"))

Number = float | str | None  # a template gives "" for an attribute of nothing
Moment = datetime | float | str | None


def is_known(value: Number) -> TypeGuard[float]:
    return value is not None and not isinstance(value, str)


def with_unit(number: str, unit: str) -> SafeString:
    return format_html('{}<span class="u">{}</span>', number, unit)


def as_datetime(moment: datetime | float) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)


def spell_age(seconds: float) -> str:
    """3 s, 5 min, 2 h, 41 d: the largest whole unit."""
    for limit, divisor, unit in STEPS:
        if seconds < limit:
            return f"{int(seconds // divisor)} {unit}"
    raise AssertionError("the last step has no limit")


def spell_utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@register.filter
def ago(moment: Moment) -> SafeString:
    """`3 h ago`, the absolute time in its tooltip; the shell's script keeps it counting."""
    if moment is None or isinstance(moment, str):
        return UNKNOWN
    then = as_datetime(moment)
    seconds = (timezone.now() - then).total_seconds()
    said = f"{spell_age(seconds)} ago" if seconds >= 0 else f"in {spell_age(-seconds)}"
    return format_html('<time datetime="{}" title="{}" data-ago>{}</time>', then.isoformat(), spell_utc(then), said)


@register.filter
def at(moment: Moment) -> SafeString:
    """The absolute time in UTC, its age in the tooltip."""
    if moment is None or isinstance(moment, str):
        return UNKNOWN
    then = as_datetime(moment)
    age = f"{spell_age(abs((timezone.now() - then).total_seconds()))} ago"
    return format_html('<time datetime="{}" title="{}">{}</time>', then.isoformat(), age, spell_utc(then))


@register.filter
def as_bytes(value: Number) -> SafeString:
    """1,234,567 → 1.23 MB. Decimal units, as disks and networks count; three digits are enough."""
    if value is None or isinstance(value, str):
        return UNKNOWN
    number, units = float(value), ["B", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return with_unit(spell_number(number, whole=units[0] == "B"), units[0])


@register.filter
def as_ms(seconds: Number) -> SafeString:
    """Seconds as milliseconds, three digits."""
    return with_unit(spell_number(seconds * 1000), "ms") if is_known(seconds) else UNKNOWN


@register.filter
def as_seconds(seconds: Number) -> SafeString:
    return with_unit(spell_number(seconds), "s") if is_known(seconds) else UNKNOWN


@register.filter
def as_percent(percent: Number) -> SafeString:
    return with_unit(spell_number(percent), "%") if is_known(percent) else UNKNOWN


@register.filter
def as_count(value: Number) -> SafeString | str:
    return f"{value:,}" if is_known(value) else UNKNOWN


@register.filter
def as_number(value: Number) -> SafeString | str:
    """Three digits, without a unit: where the words around it say what it counts."""
    return spell_number(value) if is_known(value) else UNKNOWN


def spell_number(number: float, *, whole: bool = False) -> str:
    """Three significant digits, no trailing zeros that were not measured."""
    if whole or number >= 100 or number == int(number):
        return f"{number:,.0f}"
    if number >= 10:
        return f"{number:.1f}"
    return f"{number:.2f}" if number >= 0.01 else f"{number:.1g}"


@register.filter
def short_digest(digest: str) -> str:
    return f"sha256:{digest[:4]}…{digest[-4:]}" if digest else ""


@register.filter
def words(text: str) -> list[str]:
    """`{% for value in "a b c"|words %}`."""
    return text.split()


@register.filter
def times_1000(value: float | None) -> str:
    """Seconds in a form's field for milliseconds."""
    return "" if value is None else f"{value * 1000:g}"


@register.filter
def item(mapping: dict[object, object], key: object) -> object:
    return mapping.get(key)
