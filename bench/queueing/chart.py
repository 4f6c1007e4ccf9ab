"""Goodput by load as SVG, for the documentation: a line for each queue, and the clairvoyant bound. Pure."""

from collections.abc import Mapping, Sequence
from html import escape

LEFT, TOP, WIDTH, HEIGHT, RIGHT, BOTTOM = 52, 40, 520, 240, 118, 44
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 } .quiet { fill: #57606a }
.grid { stroke: #d0d7de } .line { fill: none; stroke-width: 2; stroke: #8c959f }
.bound { stroke-dasharray: 5 4 } .ours { stroke: #0a6cbd; stroke-width: 3 }
.ours-label { font-weight: 600; fill: #0a6cbd }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .line { stroke: #848d97 }
  .ours { stroke: #58a6ff } .ours-label { fill: #58a6ff }
}
"""


def draw(title: str, loads: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
    """`series`: the part of the capacity that was answered in time, by load. The first is ours; "bound" is dashed."""
    highest = max(1.0, *(value for values in series.values() for value in values))
    most = max(loads)

    def x(load: float) -> float:
        return LEFT + load / most * WIDTH

    def y(value: float) -> float:
        return TOP + HEIGHT * (1.0 - value / highest)

    size = f"0 0 {LEFT + WIDTH + RIGHT} {TOP + HEIGHT + BOTTOM}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="20">{escape(title)}</text>',
    ]
    for step in range(5):
        value = step / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="quiet" x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    foot = TOP + HEIGHT + 18
    parts += [
        f'<text class="quiet" x="{x(load):.1f}" y="{foot}" text-anchor="middle">{load:g}</text>' for load in loads
    ]
    caption = "load, of what full batches can do; answered in time, of the same"
    parts.append(f'<text class="quiet" x="{LEFT}" y="{TOP + HEIGHT + 36}">{caption}</text>')
    for place, (name, values) in reversed(list(enumerate(series.items()))):  # ours is drawn last, over the others
        points = " ".join(f"{x(load):.1f},{y(value):.1f}" for load, value in zip(loads, values, strict=True))
        kind = "ours" if place == 0 else "bound" if name == "bound" else ""
        parts.append(f'<polyline class="line {kind}" points="{points}"/>')
    taken: list[float] = []
    for place, (name, values) in enumerate(series.items()):
        height = y(values[-1]) + 4
        while any(abs(height - other) < 13 for other in taken):
            height += -1.0 if name == "bound" else 1.0
        taken.append(height)
        label = "ours-label" if place == 0 else "quiet"
        parts.append(f'<text class="{label}" x="{LEFT + WIDTH + 8}" y="{height:.1f}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
