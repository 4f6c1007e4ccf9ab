"""The last minute of models and versions, for pages that show them beside what they are."""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from console.telemetry import live


@dataclass(frozen=True)
class Figures:
    """None is "not known": no request in the last minute, or no news from the monitor."""

    requests_per_s: float | None = None
    p95_ms: float | None = None
    error_percent: float | None = None


@dataclass(frozen=True)
class ModelMinute:
    whole: Figures = Figures()
    versions: dict[int, Figures] = field(default_factory=dict)
    as_of_s: float | None = None
    stale: bool = False  # the monitor is away: the numbers are old


def read_minutes(names: Iterable[str]) -> dict[str, ModelMinute]:
    """One look into Redis for all of them; nothing where Redis or the monitor is away."""
    wanted = list(names)
    raw: list[Any] = []
    if wanted:
        with contextlib.suppress(*live.AWAY):
            raw = live.client_of(settings.REDIS_URL).hmget(live.LIVE, [f"model:{name}" for name in wanted])
    return {name: minute_of(live.decode_state(body)) for name, body in zip(wanted, raw, strict=False) if body}


def read_minute(name: str) -> ModelMinute:
    return read_minutes([name]).get(name, ModelMinute())


def minute_of(state: live.State) -> ModelMinute:
    """`v|2|p95` is a figure of version 2; a bare key is of the whole model."""
    versions: dict[int, dict[str, Any]] = {}
    for key, value in state.s.items():
        kind, _, rest = key.partition("|")
        number, _, name = rest.partition("|")
        if kind == "v" and number.isdecimal():
            versions.setdefault(int(number), {})[name] = value
    return ModelMinute(
        whole=figures_of(state.s),
        versions={number: figures_of(values) for number, values in versions.items()},
        as_of_s=state.at_s,
        stale=not state.is_fresh(time.time()),
    )


def figures_of(values: dict[str, Any]) -> Figures:
    return Figures(values.get("requests"), values.get("p95"), values.get("errors"))
