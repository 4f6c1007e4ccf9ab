"""How far each strategy is from LRU, as an SVG for the documentation: a row a trace and size, a mark each. Pure."""

from collections.abc import Mapping, Sequence
from html import escape

LEFT, WIDTH, ROW, TOP = 250, 520, 24, 70  # pixels
OURS = "adaptive"
MARKS = {"arc": "#8250df", "s3fifo": "#1a7f37", "sieve": "#bf8700", "wtinylfu": "#cf222e", "lfu": "#8c959f"}
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 } .quiet { fill: #57606a } .line { stroke: #d0d7de }
.zero { stroke: #57606a } .ours { fill: #0a6cbd }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .line { stroke: #3d444d } .zero { stroke: #9198a1 }
  .ours { fill: #58a6ff }
}
"""


def draw(rows: Sequence[tuple[str, Mapping[str, float]]], lowest: float = -10.0, highest: float = 10.0) -> str:
    """`rows` are (label, strategy → hit ratio) with an "lru" in each. Marks are points of hit ratio over LRU; those
    beyond `lowest` or `highest` stand at the edge."""
    scale = WIDTH / (highest - lowest)
    height = TOP + ROW * len(rows) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 30} {height}" role="img">',
        "<title>Hit ratio of each strategy over that of LRU, in points</title>",
        f"<style>{STYLE}</style>",
        '<text class="title" x="8" y="20">Hits over LRU, in points of 100 requests</text>',
        *legend(),
    ]
    step = 5
    for points in range(int(lowest), int(highest) + 1, step):
        x = LEFT + (points - lowest) * scale
        kind = "zero" if points == 0 else "line"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" y1="{TOP - 12}" x2="{x:.1f}" y2="{height - 26}"/>')
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{height - 10}" text-anchor="middle">{points:+d}</text>')
    for index, (label, ratios) in enumerate(rows):
        y = TOP + index * ROW
        parts.append(f'<text x="8" y="{y + 4}">{escape(label)}</text>')
        for name in (*MARKS, OURS):
            points = 100.0 * (ratios[name] - ratios["lru"])
            x = LEFT + (min(highest, max(lowest, points)) - lowest) * scale
            parts.append(mark(name, x, y, f"{name} {points:+.2f}"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def legend() -> list[str]:
    parts, x = [], LEFT
    for name in (OURS, *MARKS):
        parts += [mark(name, x, 42, name), f'<text class="quiet" x="{x + 10}" y="46">{name}</text>']
        x += 86
    return parts


def mark(name: str, x: float, y: float, title: str) -> str:
    told = f"<title>{escape(title)}</title>"
    if name == OURS:
        return f'<path class="ours" d="M{x:.1f} {y - 8}l8 8l-8 8l-8 -8z">{told}</path>'
    return f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{MARKS[name]}" fill-opacity="0.85">{told}</circle>'
