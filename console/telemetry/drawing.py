"""Sparklines as SVG paths and changes as words; `static/js/numbers.js` draws the same when numbers arrive live."""

from collections.abc import Sequence
from typing import NamedTuple

from console.lib.templatetags.units import spell_number

WIDTH, HEIGHT = 120.0, 40.0
TOP, BOTTOM = 6.0, 38.0


class Spark(NamedTuple):
    line: str
    fill: str


def draw_spark(values: Sequence[float | None], ceiling: float | None = None) -> Spark:
    """From zero up; a gap where nothing is known. `ceiling` fixes the top, else the largest value is the top."""
    top = ceiling or max((value for value in values if value is not None), default=0.0)
    step = WIDTH / max(1, len(values) - 1)
    runs: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            share = min(1.0, value / top) if top else 0.0
            runs[-1].append(f"{index * step:.1f} {BOTTOM - share * (BOTTOM - TOP):.1f}")
    runs = [run for run in runs if run]
    line = "".join(f"M{'L'.join(run)}" if len(run) > 1 else f"M{run[0]}h.1" for run in runs)
    fill = "".join(f"M{'L'.join(run)}V{HEIGHT:.0f}H{run[0].split()[0]}z" for run in runs if len(run) > 1)
    return Spark(line, fill)


class Change(NamedTuple):
    icon: str  # up-right, down-right, flat
    text: str
    good: bool = False


def spell_change(key: str, now: float | None, was: float | None) -> Change | None:
    """How a tile differs from earlier; None where one of the two is not known."""
    if now is None or was is None:
        return None
    difference = now - was
    if key == "requests":
        if not was:
            return None
        size, unit = abs(difference) / was * 100, "%"
    else:
        size, unit = abs(difference), " ms" if key == "p95" else " pp"
    text = f"{spell_number(size)}{unit}"
    if size < 0.005 or text.startswith("0.00"):
        return Change("flat", "as 5 min ago")
    icon = "up-right" if difference > 0 else "down-right"
    return Change(icon, f"{text} vs 5 min ago", good=difference < 0 and key in ("p95", "errors"))
