"""Traffic drawn as track: the turnout, the split bar, and the badge of a version. Thickness is the share."""

from dataclasses import dataclass

from django import template
from django.utils.safestring import SafeString

from console.lib.templatetags.units import UNKNOWN
from console.registry.models import Version
from console.serving.choices import LoadState
from console.serving.selectors import TrafficView, VersionRow, WeightRow

register = template.Library()

ROW = 64  # height of one branch, in px and in the drawing's units
THICKEST = 18.0


@dataclass(frozen=True)
class Branch:
    version: Version
    percent: float
    role: str  # stable | canary
    path: str
    stroke: float


@register.simple_tag
def turnout(traffic: TrafficView, stable: Version | None) -> dict[str, object]:
    """Stable runs straight on, the others leave it by a switch, from thick to thin."""
    ordered = sorted(traffic.weights, key=lambda row: (role_of(row, stable) != "stable", -row.percent))
    branches = [
        Branch(row.version, row.percent, role_of(row, stable), track(at), max(2.0, THICKEST * row.percent / 100))
        for at, row in enumerate(ordered)
    ]
    # The drawing is kept over a refresh, so that its flow does not jump, as long as it says the same.
    key = "-".join(f"{row.role[0]}{row.version.number}-{row.percent:g}".replace(".", "_") for row in branches)
    return {"branches": branches, "height": ROW * max(1, len(branches)), "key": key}


def role_of(row: WeightRow, stable: Version | None) -> str:
    return "stable" if stable is not None and row.version.pk == stable.pk else "canary"


def track(index: int) -> str:
    y = ROW // 2 + index * ROW
    if index == 0:
        return f"M2 {y}H100"
    return f"M18 {ROW // 2}C56 {ROW // 2} 46 {y} 84 {y}H100"


@register.simple_tag
def split(weights: tuple[WeightRow, ...], stable: Version | None) -> list[dict[str, object]]:
    """Rectangles of a split bar: where each begins, how wide it is, whose it is."""
    parts, x = [], 0.0
    for row in weights:
        parts.append({"x": x, "width": row.percent, "role": role_of(row, stable), "version": row.version})
        x += row.percent
    return parts


@register.simple_tag
def workers_ready(rows: list[VersionRow]) -> int | SafeString:
    """Replicas that answer, over all live versions; a dash where nobody knows."""
    if any(row.load is LoadState.UNKNOWN for row in rows):
        return UNKNOWN
    return sum(row.loaded_on for row in rows)
