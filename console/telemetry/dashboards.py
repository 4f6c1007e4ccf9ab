"""The latency dashboard's first byte: range, filters, panels, and the numbers of the whole range by version."""

from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from console.registry.selectors import list_models
from console.serving.selectors import list_model_rows
from console.telemetry.asked import DEFAULT_RANGE, read_range, spell_time
from console.telemetry.selectors import run_query
from console.telemetry.series import RANGES, STEPS_OF_RANGES, By, Query, step_for

WIDER = dict(zip(list(RANGES)[:-1], list(RANGES)[1:], strict=True))
MAX_MODELS = 200


@dataclass(frozen=True)
class Panel:
    id: str
    title: str
    unit: str
    series: str  # of the query
    lines: str  # the name before `|` of the lines it draws
    by: By
    size: str
    ceiling: float | None = None
    quantile: str = ""


PANELS = (
    Panel("p95", "Latency p95", "ms", "latency_ms", "latency_ms.p95", "version", "lg", quantile="0.95"),
    Panel("p50", "Latency p50", "ms", "latency_ms", "latency_ms.p50", "version", "md", quantile="0.5"),
    Panel("p99", "Latency p99", "ms", "latency_ms", "latency_ms.p99", "version", "md", quantile="0.99"),
    Panel("requests", "Requests", "/s", "requests", "requests", "version", "md"),
    Panel("errors", "Errors by class", "/s", "errors", "errors", "code", "md"),
    Panel("use", "Device use by worker", "%", "device_use", "device_use", "worker", "md", ceiling=100),
)


@dataclass(frozen=True)
class Window:
    """The range a page shows: relative and live, or absolute and paused."""

    name: str  # of RANGES; empty for an absolute range
    start: int
    end: int

    @property
    def live(self) -> bool:
        return bool(self.name)

    @property
    def query(self) -> str:
        if self.live:
            return urlencode({"range": self.name})
        return urlencode({"start": self.start, "end": self.end})

    @property
    def said(self) -> str:
        return f"{spell_time(self.start)[11:16]} to {spell_time(self.end)[11:16]} UTC"

    @property
    def wider(self) -> str:
        """The next longer range, as a name; an absolute range widens to one that holds it."""
        if self.live:
            return WIDER.get(self.name, "")
        return next((name for name, span in RANGES.items() if span > self.end - self.start), "")


@dataclass(frozen=True)
class VersionFigures:
    model: str
    version: int
    requests_per_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    queue_p95_ms: float | None
    error_percent: float | None

    @property
    def group(self) -> str:
        return f"{self.model}/{self.version}"


@dataclass(frozen=True)
class Dashboard:
    window: Window
    model: str
    models: list[str]
    roles: dict[str, str]  # model/version → stable | canary
    versions: list[VersionFigures]
    known: bool  # anything at all was reported in the range
    panels: tuple[Panel, ...] = PANELS

    def csv_query(self, panel: Panel) -> str:
        asked = {"series": panel.series, "by": panel.by, "format": "csv"}
        if panel.quantile:
            asked["q"] = panel.quantile
        if self.model and panel.by != "worker":
            asked["model"] = self.model
        return f"{urlencode(asked)}&{self.window.query}"


def read_window(given: dict[str, str], now_s: float) -> Window:
    """Raises Invalid for a range that cannot be."""
    start, end = read_range(given, now_s)
    absolute = given.get("start") and given.get("end")
    return Window("" if absolute else given.get("range", DEFAULT_RANGE), start, end)


def read_dashboard(given: dict[str, str], now_s: float) -> Dashboard:
    window = read_window(given, now_s)
    model = given.get("model", "")
    rows = list_model_rows(list_models()[:MAX_MODELS])
    versions, known = version_figures(window, model, now_s)
    return Dashboard(
        window=window,
        model=model,
        models=[row.model.name for row in rows],
        roles={f"{row.model.name}/{row.stable.number}": "stable" for row in rows if row.stable},
        versions=versions,
        known=known,
    )


def version_figures(window: Window, model: str, now_s: float) -> tuple[list[VersionFigures], bool]:
    """Of the whole range: one step as wide as it, so that percentiles are of all its requests."""
    span = window.end - window.start
    grain = step_for(span)
    query = Query(
        series=("requests", "error_percent", "latency_ms", "queue_ms"),
        start=window.start - window.start % grain,
        end=window.end,
        step=-(-span // grain) * grain + grain,
        by="version",
        model=model,
    )
    answer = run_query(query, now_s)
    groups = sorted({name.partition("|")[2] for name in answer.series})

    def figure(name: str, group: str) -> float | None:
        line = answer.series.get(f"{name}|{group}", [])
        return next((value for value in line if value is not None), None)

    figures = []
    for group in groups:
        name, _, number = group.rpartition("/")
        figures.append(
            VersionFigures(
                name,
                int(number),
                figure("requests", group),
                figure("latency_ms.p50", group),
                figure("latency_ms.p95", group),
                figure("latency_ms.p99", group),
                figure("queue_ms.p95", group),
                figure("error_percent", group),
            )
        )
    return figures, answer.through > 0


def page_data(dashboard: Dashboard) -> dict[str, object]:
    """For the script: what to ask and how to draw it."""
    window = dashboard.window
    return {
        "model": dashboard.model,
        "range": window.name,
        "start": window.start,
        "end": window.end,
        "ranges": RANGES,
        "steps": STEPS_OF_RANGES,
        "roles": dashboard.roles,
        "panels": [msgspec.to_builtins(panel) for panel in dashboard.panels],
    }
