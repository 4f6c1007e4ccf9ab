"""Frames: what the monitor shows each second, computed from its rings. No I/O here.

Overview, workers and models are *states*: a flat dict, whole each time; consumers send what changed. Metrics are
*points*: values of the seconds that changed since the last frame, at the two steps that live charts use.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from console.telemetry.cells import quantiles_ms
from console.telemetry.rings import Rings, Second, WorkerRings
from console.telemetry.series import QUANTILES, Answer, Bucket, By, Query, evaluate, evaluate_workers, share
from inference.status import ReplicaState, WorkerStatus

RATE_S = 10  # rates are over the last 10 s, shares and percentiles over the last minute
WINDOW_S = 60
EARLIER_S = 300  # "change" compares with this long ago
SPARK_POINTS, SPARK_STEP_S = 60, 15
MAX_MODELS = 12  # on the overview; the Models page has all
MAX_WORKERS = 12
LOST_AFTER_S = 5.0  # without a report
LIVE_STEPS = (1, 5, 10)
MAX_LATE = 5  # changed seconds that one frame resends; more makes clients take a new snapshot

LIVE_SERIES: dict[By, tuple[str, ...]] = {
    "version": ("latency_ms", "queue_ms", "requests", "errors", "error_percent", "rows", "batch_rows", "compute_ms"),
    "model": ("latency_ms", "queue_ms", "requests", "errors", "error_percent"),
    "none": ("latency_ms", "queue_ms", "requests", "errors", "error_percent", "waiting", "in_flight"),
    "code": ("errors",),
    "worker": ("busy", "device_use", "memory_bytes"),
}


class Sums(Bucket):
    """Sums over a window, with the seconds known in it."""

    __slots__ = ("gateways", "in_flight", "seconds", "waiting")

    def __init__(self) -> None:
        super().__init__()
        self.gateways: set[str] = set()
        self.seconds = self.waiting = self.in_flight = 0

    @property
    def rate(self) -> float | None:
        return share(self.total.requests, self.seconds)

    @property
    def error_percent(self) -> float | None:
        return share(self.total.failed, self.total.requests, 100.0)

    @property
    def p95_ms(self) -> float | None:
        return quantiles_ms(self.latency, (0.95,))[0]


def sums_of(rings: Rings, start: int, end: int) -> Sums:
    sums = Sums()
    for _, second in rings.window(start, end):
        sums.seconds += 1
        sums.gateways |= second.gateways
        sums.waiting += second.waiting
        sums.in_flight += second.in_flight
        for cell in second.cells.values():
            sums.add(cell)
    return sums


def newest_second(rings: Rings, through: int) -> Second | None:
    """The newest that was reported lately: one late report must not blank a gauge."""
    return next((rings.seconds[t] for t in range(through, through - MAX_LATE, -1) if t in rings.seconds), None)


def sums_by_version(rings: Rings, start: int, end: int) -> dict[str, dict[int, Sums]]:
    known = 0
    by: dict[str, dict[int, Sums]] = {}
    for _, second in rings.window(start, end):
        known += 1
        for (model, version), cell in second.cells.items():
            by.setdefault(model, {}).setdefault(version, Sums()).add(cell)
    for versions in by.values():
        for sums in versions.values():
            sums.seconds = known
    return by


def shown(value: float | None, digits: int = 3) -> float | None:
    """Three significant digits: what a tile prints, so an unchanged tile sends nothing."""
    return None if value is None else float(f"{value:.{digits}g}") if value < 1_000 else round(value)


class Sparklines:
    """The last 15 minutes as 60 points a tile; a point is computed anew only when its seconds changed."""

    def __init__(self) -> None:
        self.points: dict[int, dict[str, float | None]] = {}

    def drop(self, changed: Iterable[int]) -> None:
        for second in changed:
            self.points.pop(second - second % SPARK_STEP_S, None)

    def update(self, rings: Rings, workers: WorkerRings, through: int) -> None:
        newest = through - through % SPARK_STEP_S
        wanted = range(newest - (SPARK_POINTS - 1) * SPARK_STEP_S, newest + 1, SPARK_STEP_S)
        self.points.pop(newest, None)
        self.points = {start: self.points.get(start) or self.point(rings, workers, start) for start in wanted}

    def point(self, rings: Rings, workers: WorkerRings, start: int) -> dict[str, float | None]:
        sums = sums_of(rings, start, start + SPARK_STEP_S)
        return {
            "requests": shown(sums.rate),
            "p95": shown(sums.p95_ms),
            "errors": shown(sums.error_percent),
            "use": shown(mean_use(workers, start, start + SPARK_STEP_S)),
            "in_flight": shown(share(sums.in_flight, sums.seconds)),
        }

    def lines(self) -> dict[str, Any]:
        starts = sorted(self.points)
        names = self.points[starts[0]] if starts else ()
        return {
            "start": starts[0] if starts else 0,
            "step": SPARK_STEP_S,
            **{name: [self.points[start][name] for start in starts] for name in names},
        }

    @property
    def newest(self) -> tuple[int, dict[str, float | None]]:
        start = max(self.points, default=0)
        return start, self.points.get(start, {})


def mean_use(workers: WorkerRings, start: int, end: int) -> float | None:
    """Mean device use over all workers that measured it."""
    column = WorkerRings.COLUMNS.index("device_use")
    rows = [workers.window(replica, start, end)[:, column] for replica in workers.readings]
    values = np.concatenate(rows) if rows else np.empty(0)
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if len(measured) else None


def state_of(worker: WorkerStatus, now_s: float) -> str:
    """As reported, or `lost` where the report is old: a worker that says nothing is not known to be ready."""
    return worker.state.value if now_s - worker.at_s < LOST_AFTER_S else "lost"


def overview_state(
    rings: Rings, readings: WorkerRings, workers: list[WorkerStatus], sparks: Sparklines, through: int, now_s: float
) -> dict[str, Any]:
    end = through + 1
    rate, window = sums_of(rings, end - RATE_S, end), sums_of(rings, end - WINDOW_S, end)
    rate_was = sums_of(rings, end - EARLIER_S - RATE_S, end - EARLIER_S)
    window_was = sums_of(rings, end - EARLIER_S - WINDOW_S, end - EARLIER_S)
    last = newest_second(rings, through)
    states = [state_of(worker, now_s) for worker in workers]
    point_t, point = sparks.newest
    state: dict[str, Any] = {
        "requests": shown(rate.rate),
        "requests.was": shown(rate_was.rate),
        "p95": shown(window.p95_ms),
        "p95.was": shown(window_was.p95_ms),
        "errors": shown(window.error_percent),
        "errors.was": shown(window_was.error_percent),
        "use": shown(mean_use(readings, end - RATE_S, end)),
        "use.was": shown(mean_use(readings, end - EARLIER_S - RATE_S, end - EARLIER_S)),
        "use.kind": use_kind(workers),
        "gateways": len(rate.gateways),
        "in_flight": last.in_flight if last else None,
        "waiting": last.waiting if last else None,
        "ready": states.count(ReplicaState.READY.value) if workers else None,
        "workers": len(workers) if workers else None,
        "point_t": point_t,
        **{f"{name}.point": value for name, value in point.items()},
    }
    models = sums_by_version(rings, end - WINDOW_S, end)
    for name in busiest(models):
        state |= {f"m|{name}|{key}": value for key, value in figures(models[name]).items()}
    for worker in workers[:MAX_WORKERS]:
        state |= {f"w|{worker.replica}|{key}": value for key, value in worker_figures(worker, now_s).items()}
    return state


def use_kind(workers: list[WorkerStatus]) -> str:
    return "GPU" if any(worker.device.startswith("cuda") for worker in workers) else "CPU"


def busiest(models: Mapping[str, Mapping[int, Sums]]) -> list[str]:
    requests = {name: sum(sums.total.requests for sums in versions.values()) for name, versions in models.items()}
    return sorted(sorted(requests, key=lambda name: (-requests[name], name))[:MAX_MODELS])


def figures(versions: Mapping[int, Sums]) -> dict[str, float | None]:
    """A model's last minute, all versions together."""
    whole = Sums()
    for sums in versions.values():
        whole.total.add(sums.total)
        whole.latency += sums.latency
        whole.seconds = sums.seconds
    return {"requests": shown(whole.rate), "p95": shown(whole.p95_ms), "errors": shown(whole.error_percent)}


def worker_figures(worker: WorkerStatus, now_s: float) -> dict[str, Any]:
    """Whole percents and MiB: an idle worker then sends nothing."""
    memory, total = worker.memory_used_bytes.value, worker.memory_total_bytes.value
    return {
        "state": state_of(worker, now_s),
        "model": f"{worker.model}/{worker.version}",
        "use": None if worker.device_use.value is None else round(worker.device_use.value),
        "busy": None if worker.busy.value is None else round(worker.busy.value),
        "memory": None if memory is None else round(memory / 2**20),
        "memory_total": None if total is None else round(total / 2**20),
        "in_flight": worker.in_flight,
    }


def workers_state(workers: list[WorkerStatus], now_s: float) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for worker in workers:
        more = {
            "at": round(worker.at_s),
            "rows": worker.rows,
            "batches": worker.batches,
            "restarts": worker.restarts,
            "rss": round(worker.rss_bytes / 2**20),
        }
        for key, value in (worker_figures(worker, now_s) | more).items():
            state[f"w|{worker.replica}|{key}"] = value
    return state


def model_states(rings: Rings, through: int) -> dict[str, dict[str, Any]]:
    """By model: its last minute, and that of each version."""
    end = through + 1
    states: dict[str, dict[str, Any]] = {}
    for model, versions in sums_by_version(rings, end - WINDOW_S, end).items():
        state: dict[str, Any] = dict(figures(versions))
        for version, sums in versions.items():
            p50, p95, p99 = quantiles_ms(sums.latency, (0.5, 0.95, 0.99))
            values = {"requests": sums.rate, "errors": sums.error_percent, "p50": p50, "p95": p95, "p99": p99}
            state |= {f"v|{version}|{key}": shown(value) for key, value in values.items()}
        states[model] = state
    return states


def metric_points(rings: Rings, readings: WorkerRings, changed: Iterable[int], through: int) -> list[list[Any]]:
    """[step, time, known, {by: {name: value}}] of each bucket that changed; the last second and its 10 s always count.

    `known`: a gateway reported in it, so that a count without a value is 0.
    """
    seconds = sorted({*changed, through})
    return [
        [step, start, any(rings.window(start, start + step)), point_of(rings, readings, start, step)]
        for step in LIVE_STEPS
        for start in sorted({second - second % step for second in seconds})
    ]


def point_of(rings: Rings, readings: WorkerRings, start: int, step: int) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = {}
    for by, series in LIVE_SERIES.items():
        query = Query(series=series, start=start, end=start + step, step=step, by=by, q=QUANTILES)
        answer = answer_from(rings, readings, query)
        values[by] = {name: round(line[0], 3) for name, line in answer.series.items() if line[0] is not None}
    return values


def answer_from(rings: Rings, readings: WorkerRings, query: Query) -> Answer:
    """Any query, from the rings."""
    if query.by == "worker":
        return evaluate_workers(query, readings.samples(query.start, query.end, query.step), readings.since)
    held = list(rings.window(query.start, query.end))
    cells = ((t, model, version, cell) for t, second in held for (model, version), cell in second.cells.items())
    return evaluate(query, cells, ((t, second.gauge) for t, second in held), rings.since)
