"""What the Overview shows, read once for the first byte; the live socket keeps it fresh from there."""

import time
from dataclasses import dataclass
from typing import Any

from console.accounts.models import AuditEvent
from console.fleet.choices import Freshness
from console.fleet.selectors import WorkerRow, list_workers
from console.jobs.choices import OperationState
from console.jobs.models import Operation
from console.jobs.selectors import demo_traffic
from console.lib.templatetags.units import spell_number
from console.registry.selectors import list_models
from console.serving.selectors import ModelRow, list_model_rows
from console.telemetry import live
from console.telemetry.drawing import Change, Spark, draw_spark, spell_change
from console.telemetry.frames import MAX_MODELS, MAX_WORKERS, SPARK_POINTS
from console.telemetry.happenings import Happening, latest_happenings
from console.telemetry.models import RollUp


@dataclass(frozen=True)
class Tile:
    key: str
    label: str
    unit: str
    value: str  # empty: not known
    note: str  # beside the change, or instead of it
    change: Change | None
    spark: Spark


@dataclass(frozen=True)
class Step:
    """One of the first things to do."""

    key: str
    title: str
    why: str
    done: bool


@dataclass(frozen=True)
class ModelFigures:
    row: ModelRow
    requests: float | None
    p95_ms: float | None
    error_percent: float | None


@dataclass(frozen=True)
class Overview:
    tiles: tuple[Tile, ...]
    models: tuple[ModelFigures, ...]
    more_models: int
    workers: tuple[WorkerRow, ...]
    more_workers: int
    workers_problem: str
    workers_as_of_s: float | None
    happenings: list[Happening]
    steps: tuple[Step, ...]
    traffic: Operation | None  # demo traffic at work
    as_of_s: float | None
    stale: bool  # the monitor is away: numbers are old

    @property
    def first_steps(self) -> bool:
        return not all(step.done for step in self.steps)


def read_overview(now_s: float | None = None) -> Overview:
    now_s = time.time() if now_s is None else now_s
    state = live.read_state("overview")
    shown: dict[str, Any] = state.s if state else {}
    lines: dict[str, Any] = state.lines if state else {}
    models = list_models()
    workers = list_workers()
    traffic = demo_traffic()
    count = models.count()
    return Overview(
        tiles=make_tiles(shown, lines),
        models=tuple(with_figures(row, shown) for row in list_model_rows(models[:MAX_MODELS])),
        more_models=max(0, count - MAX_MODELS),
        workers=workers.items[:MAX_WORKERS],
        more_workers=max(0, len(workers.items) - MAX_WORKERS),
        workers_problem="" if workers.freshness is Freshness.LIVE else workers.problem,
        workers_as_of_s=workers.as_of_s,
        happenings=latest_happenings(10),
        steps=first_steps(has_models=count > 0, had_traffic=traffic is not None),
        traffic=traffic if traffic and traffic.state in (OperationState.QUEUED, OperationState.RUNNING) else None,
        as_of_s=state.through if state else None,
        stale=state is not None and not state.is_fresh(now_s),
    )


def make_tiles(shown: dict[str, Any], lines: dict[str, Any]) -> tuple[Tile, ...]:
    def tile(key: str, label: str, unit: str, *, note: str = "", ceiling: float | None = None) -> Tile:
        value = shown.get(key)
        return Tile(
            key=key,
            label=label,
            unit=unit,
            value="" if value is None else spell_number(value),
            note=note,
            change=spell_change(key, value, shown.get(f"{key}.was")),
            spark=draw_spark(lines.get(key) or [None] * SPARK_POINTS, ceiling),
        )

    waiting, workers = shown.get("waiting"), shown.get("workers")
    return (
        tile("requests", "Requests", "/s"),
        tile("p95", "Latency p95", "ms"),
        tile("errors", "Errors", "%"),
        tile("use", f"{shown.get('use.kind', 'CPU')} use", "%", ceiling=100),
        tile("in_flight", "In flight", "requests", note="" if waiting is None else f"{waiting} waiting"),
        tile("ready", "Workers ready", "" if workers is None else f"of {workers}", note=spell_ready(shown)),
    )


def spell_ready(shown: dict[str, Any]) -> str:
    ready, workers = shown.get("ready"), shown.get("workers")
    if workers is None or ready is None:
        return ""
    return "all of them" if ready == workers else f"{workers - ready} not ready"


def with_figures(row: ModelRow, shown: dict[str, Any]) -> ModelFigures:
    requests, p95, errors = (shown.get(f"m|{row.model.name}|{key}") for key in ("requests", "p95", "errors"))
    if requests is None and shown.get("gateways"):
        requests = 0.0  # gateways report, and nobody called it
    return ModelFigures(row, requests, p95, errors)


def first_steps(*, has_models: bool, had_traffic: bool) -> tuple[Step, ...]:
    """Each is found done from what is so, not from a click on it."""
    return (
        Step("try", "Try a model", "Ask one in the playground and see what answers.", has_models and was_called()),
        Step("traffic", "Send demo traffic", "20 requests/s for 3 minutes; it stops by itself.", had_traffic),
        Step("key", "Create an API key", "So that your own programs can call models.", has_own_key()),
    )


def was_called() -> bool:
    """After somebody first signed in: before that, only the start's own check calls models."""
    first = AuditEvent.objects.filter(action="user.login", actor_kind="user").order_by("number").first()
    return bool(first and RollUp.objects.filter(ok__gt=0, start_s__gte=first.at.timestamp()).exists())


def has_own_key() -> bool:
    """One that a person made: `up` makes the demo key as the system."""
    return AuditEvent.objects.filter(action="api_key.create", actor_kind="user").exists()
