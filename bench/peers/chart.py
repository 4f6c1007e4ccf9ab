"""A bar chart as SVG, for the documentation only: a panel for each number of clients, a bar for each server. Pure."""

from collections.abc import Sequence
from html import escape

from bench.peers.figures import Median, number

PANEL, GAP, LABEL, TOP = 270, 24, 130, 64  # widths in pixels, and where the first bar begins
BAR, STEP = 14, 22
VALUE = 58  # kept free behind the longest bar for its figure
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 } .quiet { fill: #57606a }
.bar { fill: #8c959f } .ours { fill: #0a6cbd } .ours-label { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .bar { fill: #656c76 } .ours { fill: #58a6ff }
}
"""


def draw(title: str, rows: Sequence[Median], counts: Sequence[int], ours: str) -> str:
    """Bars of one panel share a scale; panels do not, as requests/s at 1 and at 64 clients lie far apart."""
    counts = [count for count in counts if any(row.c == count for row in rows)]
    servers = list(dict.fromkeys(row.server for row in rows))
    width = LABEL + len(counts) * (PANEL + GAP)
    height = TOP + len(servers) * STEP + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}: requests per second</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="20">{escape(title)}</text>',
    ]
    for index, server in enumerate(servers):
        kind = ' class="ours-label"' if server == ours else ""
        parts.append(f'<text{kind} x="8" y="{TOP + index * STEP + 12}">{escape(server)}</text>')
    for index, count in enumerate(counts):
        left = LABEL + index * (PANEL + GAP)
        parts.append(f'<text class="quiet" x="{left}" y="46">{count} clients, requests/s</text>')
        found = {row.server: row for row in rows if row.c == count}
        parts += panel(left, [found.get(server) for server in servers], ours)
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(left: int, rows: Sequence[Median | None], ours: str) -> list[str]:
    highest = max((row.rps for row in rows if row), default=0.0) or 1.0
    parts = []
    for index, row in enumerate(rows):
        if row is None:
            continue
        top = TOP + index * STEP
        length = max(1.0, row.rps / highest * (PANEL - VALUE))
        kind = "ours" if row.server == ours else "bar"
        parts.append(f'<rect class="{kind}" x="{left}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        failed = f", {row.errors} errors" if row.errors else ""
        parts.append(f'<text x="{left + length + 6:.1f}" y="{top + 12}">{number(row.rps)}{failed}</text>')
    return parts
