"""The chart for docs/canary.md: how often each rule rolls back a healthy canary, and what a bad one costs. Pure."""

import math
from collections.abc import Sequence
from html import escape

LEFT, PANEL, TOP, BAR, STEP, VALUE = 120, 330, 64, 14, 22, 124
GAP = 28
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 } .quiet { fill: #57606a }
.bar { fill: #8c959f } .ours { fill: #0a6cbd } .ours-label { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .bar { fill: #656c76 } .ours { fill: #58a6ff }
}
"""


def draw(title: str, panels: Sequence[tuple[str, Sequence[tuple[str, float | None, str]]]], ours: str) -> str:
    """A panel each of (name, value, text) bars, on a scale of its own; None: no bar, only the text."""
    rows = max(len(bars) for _, bars in panels)
    across = 2
    down = math.ceil(len(panels) / across)
    tall = 34 + rows * STEP
    width, height = across * (LEFT + PANEL + GAP), TOP - 30 + down * tall
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="20">{escape(title)}</text>',
    ]
    for index, (name, bars) in enumerate(panels):
        left, top = index % across * (LEFT + PANEL + GAP), TOP - 30 + index // across * tall
        parts.append(f'<text class="quiet" x="{left + LEFT}" y="{top + 18}">{escape(name)}</text>')
        parts += panel(left, top + 28, bars, ours)
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(left: int, top: int, bars: Sequence[tuple[str, float | None, str]], ours: str) -> list[str]:
    highest = max((value for _, value, _ in bars if value is not None), default=0.0) or 1.0
    parts = []
    for index, (name, value, text) in enumerate(bars):
        y = top + index * STEP
        mine = name == ours
        label = ' class="ours-label"' if mine else ""
        parts.append(f'<text{label} x="{left + 8}" y="{y + 12}">{escape(name)}</text>')
        length = 0.0
        if value is not None:
            length = max(1.0, value / highest * (PANEL - VALUE))
            kind = "ours" if mine else "bar"
            parts.append(f'<rect class="{kind}" x="{left + LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        parts.append(f'<text x="{left + LEFT + length + 6:.1f}" y="{y + 12}">{escape(text)}</text>')
    return parts
