"""Series: what can be asked of telemetry, and the one computation that answers, from rings and from roll-ups alike.

A name in an answer is `series|group` or, for quantiles, `series.p95|group`. A group is `model/version`, `model`, `all`,
`model/error_code` or a replica, as `by` says. None means nothing is known or nothing was measured; 0 was measured.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from msgspec import Struct, field

from console.lib.errors import Invalid
from console.telemetry.cells import Cell, quantiles_ms
from console.telemetry.rings import Gauge

By = Literal["version", "model", "none", "code", "worker"]
ALL = "all"


class Described(NamedTuple):
    unit: str
    by: tuple[By, ...]
    means: str
    quantiles: bool = False


CATALOGUE: dict[str, Described] = {
    "latency_ms": Described("ms", ("version", "model", "none"), "HTTP in to HTTP out, at the gateway", quantiles=True),
    "queue_ms": Described("ms", ("version", "model", "none"), "Waiting for a free replica", quantiles=True),
    "requests": Described("/s", ("version", "model", "none"), "Requests that ended, a second"),
    "errors": Described("/s", ("version", "model", "none", "code"), "Requests that ended in an error, a second"),
    "error_percent": Described("%", ("version", "model", "none"), "Share of requests that ended in an error"),
    "rows": Described("/s", ("version", "model", "none"), "Rows of input, a second"),
    "batch_rows": Described("rows", ("version", "model", "none"), "Rows in a batch, mean"),
    "compute_ms": Described("ms", ("version", "model", "none"), "Time in the model a row, mean"),
    "waiting": Described("requests", ("none",), "In the gateways' queues, mean"),
    "in_flight": Described("requests", ("none",), "Being answered, mean"),
    "busy": Described("%", ("worker",), "Time a worker spent in the model"),
    "device_use": Described("%", ("worker",), "Use of the worker's GPU or CPU"),
    "memory_bytes": Described("B", ("worker",), "Device memory in use"),
}
QUANTILES = (0.5, 0.9, 0.95, 0.99)
STEPS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200)
MAX_POINTS = 600
MAX_POINTS_LIVE = 900  # 15 min at 1 s
MAX_GROUPS = 64
RANGES = {"5m": 300, "15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
# A live chart moves each second; its step is what makes its lines calm enough to read.
STEPS_OF_RANGES = {"5m": 1, "15m": 5, "1h": 10, "6h": 60, "24h": 300, "7d": 1_200}
MAX_SPAN_S = 90 * 86_400


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    series: tuple[str, ...]
    start: int
    end: int  # exclusive
    step: int
    by: By = "version"
    q: tuple[float, ...] = (0.5, 0.95, 0.99)
    model: str = ""

    @property
    def points(self) -> int:
        return -(-(self.end - self.start) // self.step)


class Answer(Struct):
    start: int
    step: int
    points: int
    through: int  # the newest second that counts in it; 0 where nothing is known
    since: int = 0  # the oldest second that its source holds
    left_out: int = 0  # groups past MAX_GROUPS
    series: dict[str, list[float | None]] = field(default_factory=dict)


def step_for(span_s: int) -> int:
    """The finest step that keeps a line within the number of points a chart gets."""
    if span_s <= MAX_POINTS_LIVE:
        return 1
    return next((step for step in STEPS if span_s <= step * MAX_POINTS), -(-span_s // MAX_POINTS))


def check(query: Query) -> Query:
    """The query itself, or Invalid with the field that cannot be right."""
    for name in query.series or ("",):
        described = CATALOGUE.get(name)
        if described is None:
            raise Invalid.field("series", f"No series is called {name!r}. There are: {', '.join(CATALOGUE)}.")
        if query.by not in described.by:
            raise Invalid.field("by", f"{name!r} is known by {' or '.join(described.by)}, not by {query.by!r}.")
    if not query.q or not all(0 < q <= 1 for q in query.q) or len(query.q) > 8:
        raise Invalid.field("q", "Quantiles are one to eight numbers above 0 and up to 1, such as 0.5,0.95,0.99.")
    if not 0 < query.end - query.start <= MAX_SPAN_S:
        raise Invalid.field("start", "The range must end after it starts and span at most 90 days.")
    if query.step < 1 or query.points > MAX_POINTS_LIVE:
        finest = step_for(query.end - query.start)
        raise Invalid.field("step", f"A step of {query.step} s gives {query.points} points; {finest} s is the finest.")
    return query


class Bucket:
    """Sums of one group and step."""

    __slots__ = ("codes", "latency", "queue", "total")

    def __init__(self) -> None:
        self.total = Cell()
        self.latency: list[bytes] = []
        self.queue: list[bytes] = []

    def add(self, cell: Cell) -> None:
        latency, queue = cell.latency, cell.queue
        self.latency.append(latency)
        self.queue.append(queue)
        total = self.total
        total.requests += cell.requests
        total.ok += cell.ok
        total.rows += cell.rows
        total.batches += cell.batches
        total.compute_ns += cell.compute_ns
        for code, count in cell.errors.items():
            total.errors[code] = total.errors.get(code, 0) + count


def share(part: float, whole: float, factor: float = 1.0) -> float | None:
    return part / whole * factor if whole else None


# From the sums of one bucket and the seconds known in it.
READERS: dict[str, Callable[[Cell, int], float | None]] = {
    "requests": lambda cell, seconds: share(cell.requests, seconds),
    "errors": lambda cell, seconds: share(cell.failed, seconds),
    "error_percent": lambda cell, _: share(cell.failed, cell.requests, 100.0),
    "rows": lambda cell, seconds: share(cell.rows, seconds),
    "batch_rows": lambda cell, _: share(cell.rows, cell.batches),
    "compute_ms": lambda cell, _: share(cell.compute_ns, cell.rows, 1e-6),
}


def group_of(by: By, model: str, version: int) -> str:
    return f"{model}/{version}" if by == "version" else model if by == "model" else ALL


def quantile_name(q: float) -> str:
    return f"p{q * 100:g}"


def evaluate(
    query: Query,
    cells: Iterable[tuple[int, str, int, Cell]],
    gauges: Iterable[tuple[int, Gauge]],
    since: int = 0,
) -> Answer:
    """Answer a query on gateways' telemetry from cells (second, model, version, cell) and gauges (second, gauge)."""
    known: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    answer = Answer(query.start, query.step, query.points, 0, since)
    for second, gauge in gauges:
        sums = known[(second - query.start) // query.step]
        sums[0] += gauge.seconds
        sums[1] += gauge.waiting
        sums[2] += gauge.in_flight
        answer.through = max(answer.through, second)
    if query.by == "none" and (wanted := [name for name in query.series if name in ("waiting", "in_flight")]):
        for name in wanted:
            column = 1 if name == "waiting" else 2
            line = answer.series[f"{name}|{ALL}"] = [None] * query.points
            for index, sums in known.items():
                line[index] = share(sums[column], sums[0])
    groups: dict[str, dict[int, Bucket]] = {}
    for second, model, version, cell in cells:
        if query.model and model != query.model:
            continue
        buckets = groups.setdefault(group_of("model" if query.by == "code" else query.by, model, version), {})
        index = (second - query.start) // query.step
        bucket = buckets.get(index)
        if bucket is None:
            bucket = buckets[index] = Bucket()
        bucket.add(cell)
    if not groups and query.by == "none":
        groups[ALL] = {}
    seconds = {index: sums[0] for index, sums in known.items()}
    for group in largest(groups, answer):
        if query.by == "code":
            fill_codes(answer, query, group, groups[group], seconds)
        else:
            fill(answer, query, group, groups[group], seconds)
    return answer


def largest(groups: dict[str, dict[int, Bucket]], answer: Answer) -> list[str]:
    """The groups with most requests, in the order of their names; how many were left out is said."""
    if len(groups) <= MAX_GROUPS:
        return sorted(groups)
    requests = {group: sum(b.total.requests for b in buckets.values()) for group, buckets in groups.items()}
    answer.left_out = len(groups) - MAX_GROUPS
    return sorted(sorted(requests, key=lambda group: -requests[group])[:MAX_GROUPS])


def fill(answer: Answer, query: Query, group: str, buckets: dict[int, Bucket], seconds: dict[int, int]) -> None:
    nothing = Cell()
    for name in query.series:
        if CATALOGUE[name].quantiles:
            lines: list[list[float | None]] = [[None] * query.points for _ in query.q]
            for index, bucket in buckets.items():
                packed = bucket.latency if name == "latency_ms" else bucket.queue
                for line, value in zip(lines, quantiles_ms(packed, query.q), strict=True):
                    line[index] = value
            answer.series |= {
                f"{name}.{quantile_name(q)}|{group}": line for q, line in zip(query.q, lines, strict=True)
            }
        elif reader := READERS.get(name):
            line = answer.series[f"{name}|{group}"] = [None] * query.points
            for index, count in seconds.items():
                line[index] = reader(buckets[index].total if index in buckets else nothing, count)


def fill_codes(answer: Answer, query: Query, model: str, buckets: dict[int, Bucket], seconds: dict[int, int]) -> None:
    codes = sorted({code for bucket in buckets.values() for code in bucket.total.errors})
    for code in codes:
        line = answer.series[f"errors|{model}/{code}"] = [None] * query.points
        for index, count in seconds.items():
            failed = buckets[index].total.errors.get(code, 0) if index in buckets else 0
            line[index] = share(failed, count)


Sample = tuple[float, int]  # sum, how many


def evaluate_workers(query: Query, samples: Iterable[tuple[int, str, dict[str, Sample]]], since: int = 0) -> Answer:
    """Answer a query on workers from (second, replica, reading → sum and number of samples)."""
    answer = Answer(query.start, query.step, query.points, 0, since)
    sums: dict[str, dict[int, dict[str, Sample]]] = {}
    for second, replica, readings in samples:
        held = sums.setdefault(replica, {}).setdefault((second - query.start) // query.step, {})
        for name, (value, count) in readings.items():
            before = held.get(name, (0.0, 0))
            held[name] = (before[0] + value, before[1] + count)
        answer.through = max(answer.through, second)
    answer.left_out = max(0, len(sums) - MAX_GROUPS)
    for replica in sorted(sums)[:MAX_GROUPS]:
        for name in query.series:
            line = answer.series[f"{name}|{replica}"] = [None] * query.points
            for index, readings in sums[replica].items():
                line[index] = share(*readings.get(name, (0.0, 0)))
    return answer
