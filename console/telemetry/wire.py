"""The words of `console.v1`, the protocol of the live socket: what a client may say, and how each part is bounded."""

import re
from typing import Any

import msgspec
from msgspec import Struct

from console.lib.errors import Invalid
from console.telemetry.frames import LIVE_SERIES, LIVE_STEPS
from console.telemetry.rings import SPAN_S
from console.telemetry.series import CATALOGUE, QUANTILES, By, Query, check, quantile_name

SUBPROTOCOL = "console.v1"
MAX_SUBS = 32
MAX_MESSAGE_BYTES = 4_096
MAX_MESSAGES = 120  # in any MESSAGES_WITHIN_S
MESSAGES_WITHIN_S = 10.0
HEARTBEAT_S, SILENT_S = 15, 45
RECHECK_S = 30.0

LOGIN, FORBIDDEN, SLOW, TOO_MANY, RESTART = 4401, 4403, 4408, 4429, 1012

CHANNEL = re.compile(r"overview|metrics|workers|events|model:[a-z0-9][a-z0-9._-]{0,62}")
ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class Said(Struct):
    """One message of a client; which members matter depends on `op`."""

    op: str
    id: str = ""
    ch: str = ""
    p: dict[str, Any] = {}
    t: float = 0
    after: int = 0


class MetricsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """What a chart wants to see live."""

    series: tuple[str, ...] = ("latency_ms",)
    q: tuple[float, ...] = (0.5, 0.95, 0.99)
    by: By = "version"
    model: str = ""
    window: int = 900
    step: int = 1

    def query(self, now_s: float) -> Query:
        end = (int(now_s) // self.step + 1) * self.step  # the running step is the last
        return Query(
            series=self.series, start=end - self.window, end=end, step=self.step, by=self.by, q=self.q, model=self.model
        )  # fmt: skip

    def names(self) -> frozenset[str]:
        """Names of series before the `|`."""
        return frozenset(
            name
            for series in self.series
            for name in ((f"{series}.{quantile_name(q)}" for q in self.q) if CATALOGUE[series].quantiles else (series,))
        )

    def pick(self, point: dict[str, dict[str, float]]) -> dict[str, float]:
        """Of one live point, what this subscription asked for."""
        names, model = self.names(), self.model
        picked = {}
        for full, value in point.get(self.by, {}).items():
            name, _, group = full.partition("|")
            if name in names and (not model or group == model or group.startswith(f"{model}/")):
                picked[full] = value
        return picked


decode_said = msgspec.json.Decoder(Said).decode
encode = msgspec.json.Encoder().encode


def read_channel(channel: str) -> str:
    if not CHANNEL.fullmatch(channel):
        raise Invalid.field("ch", f"No channel is called {channel!r}: overview, metrics, workers, events, model:NAME.")
    return channel


def read_params(params: dict[str, Any], now_s: float) -> MetricsParams:
    """Parameters of `metrics`, within what live frames carry. Raises Invalid."""
    try:
        read = msgspec.convert(params, MetricsParams)
    except msgspec.ValidationError as error:
        raise Invalid.field("p", f"Parameters of 'metrics' are not usable: {error}.") from None
    if read.step not in LIVE_STEPS:
        raise Invalid.field("p/step", f"Live steps are {LIVE_STEPS} s; read /api/v1/metrics/query/ for others.")
    if not 0 < read.window <= SPAN_S or read.window % read.step:
        raise Invalid.field("p/window", f"A live window is a multiple of the step, 1 to {SPAN_S} s.")
    if not set(read.q) <= set(QUANTILES):
        raise Invalid.field("p/q", f"Live quantiles are {QUANTILES}; read /api/v1/metrics/query/ for others.")
    check(read.query(now_s))
    for name in read.series:
        if name not in LIVE_SERIES[read.by]:
            raise Invalid.field("p/series", f"{name!r} by {read.by} is not live; read /api/v1/metrics/query/ for it.")
    return read
