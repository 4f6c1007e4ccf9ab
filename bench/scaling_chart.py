"""A small chart of cost against late requests, readable on light and on dark paper."""

from dataclasses import dataclass

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 44, 52
COST = (1.0, 2.2)
LATE = (0.0, 0.1)  # drawn on a square root, so that a tenth of a percent is still seen
LATE_TICKS = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
COST_TICKS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #374151 } .title { font-size: 14px; font-weight: 600 }
  .axis { stroke: #9ca3af } .grid { stroke: #e5e7eb } .goal { fill: #16a34a; fill-opacity: .13 }
  .line0 { stroke: #9ca3af; fill: none; stroke-width: 2 } .dot0 { fill: #9ca3af }
  .line1 { stroke: #2563eb; fill: none; stroke-width: 2 } .dot1 { fill: #2563eb }
  .other { fill: #d97706 } .ours { fill: #2563eb }
  @media (prefers-color-scheme: dark) {
    text { fill: #d1d5db } .axis { stroke: #6b7280 } .grid { stroke: #374151 } .goal { fill: #22c55e }
    .line1 { stroke: #60a5fa } .dot1, .ours { fill: #60a5fa } .other { fill: #fbbf24 }
  }
"""

Point = tuple[float, float]  # cost as a multiple of the bound, late part of requests


@dataclass(frozen=True)
class Curve:
    label: str
    points: list[Point]


def place(point: Point) -> Point:
    """Where it lies on the paper, clipped to its edge."""
    cost = min(max(point[0], COST[0]), COST[1])
    late = min(max(point[1], LATE[0]), LATE[1])
    across = LEFT + (cost - COST[0]) / (COST[1] - COST[0]) * (WIDTH - LEFT - RIGHT)
    down = HEIGHT - BOTTOM - (late / LATE[1]) ** 0.5 * (HEIGHT - TOP - BOTTOM)
    return across, down


def draw_chart(title: str, curves: list[Curve], points: dict[str, Point], goal: Point) -> str:
    """An SVG of the curves, a named point a policy, and the corner that is the goal."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="24">{title}: cost against late requests</text>',
    ]
    parts += draw_goal(goal)
    parts += draw_axes()
    for number, curve in enumerate(curves):
        inside = [point for point in curve.points if point[1] <= LATE[1] and point[0] <= COST[1]]
        spots = [place(point) for point in inside]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline class="line{number}" points="{path}"/>')
        parts += [f'<circle class="dot{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in spots]
        y = TOP + 14 + 18 * number
        parts.append(f'<line class="line{number}" x1="{WIDTH - 220}" x2="{WIDTH - 196}" y1="{y - 4}" y2="{y - 4}"/>')
        parts.append(f'<text x="{WIDTH - 190}" y="{y}">{curve.label}</text>')
    for name, point in points.items():
        x, y = place(point)
        kind = "ours" if name == "ours" else "other"
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(f'<text x="{x + 8:.1f}" y="{y - 7:.1f}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def draw_goal(goal: Point) -> list[str]:
    left, bottom = place((COST[0], 0.0))
    right, top = place(goal)
    return [f'<rect class="goal" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>']


def draw_axes() -> list[str]:
    parts = []
    for late in LATE_TICKS:
        left, y = place((COST[0], late))
        right, _ = place((COST[1], late))
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{100 * late:g} %</text>')
    bottom = HEIGHT - BOTTOM
    for cost in COST_TICKS:
        x, _ = place((cost, 0.0))
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{cost:.1f}×</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">'
        "replica-seconds, of the least on which nobody waits</text>"
    )
    return parts
