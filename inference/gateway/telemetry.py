"""What this process did: counters and sketches by (model, version), of this second and since the start.

The request path adds to the second that is running, once for a request and once for a batch. When the second ends it
is reported (`status.TelemetrySecond`) and folded into the totals, which `/metrics` shows.
"""

from collections.abc import Iterator
from time import time

from msgspec import Struct, field

from inference import sketch
from inference.sketch import Bins
from inference.status import Series
from inference.transport.frames import Result

OK = ""
MOST_NOTED = 4096  # requests of one series before they are summed up; that takes half a millisecond


class SizeCounts(Struct):
    """What batches of one size took, each counted once."""

    batches: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0

    def fold(self, other: "SizeCounts") -> None:
        self.batches += other.batches
        self.input_ns += other.input_ns
        self.infer_ns += other.infer_ns
        self.output_ns += other.output_ns


class SeriesCounts(Struct):
    """Counters of one (model, version) over some time. Times of Triton's kind count a batch once for each request."""

    requests: int = 0
    ok: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    batches: int = 0
    batched: int = 0  # requests in them
    compute_ns: int = 0  # in the model, shared out by rows
    request_s: float = 0.0
    failed_s: float = 0.0  # of it, requests that ended with an error
    queue_s: float = 0.0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0
    last_s: float = 0.0  # Unix time of the last batch
    by_size: dict[int, SizeCounts] = field(default_factory=dict)  # rows → batches of so many
    latency: Bins = field(default_factory=dict)
    queue: Bins = field(default_factory=dict)

    def fold(self, other: "SeriesCounts") -> None:
        self.requests += other.requests
        self.ok += other.ok
        self.rows += other.rows
        self.batches += other.batches
        self.batched += other.batched
        self.compute_ns += other.compute_ns
        self.request_s += other.request_s
        self.failed_s += other.failed_s
        self.queue_s += other.queue_s
        self.input_ns += other.input_ns
        self.infer_ns += other.infer_ns
        self.output_ns += other.output_ns
        self.last_s = max(self.last_s, other.last_s)
        for rows, counts in other.by_size.items():
            self.by_size.setdefault(rows, SizeCounts()).fold(counts)
        for code, count in other.errors.items():
            self.errors[code] = self.errors.get(code, 0) + count
        sketch.merge(self.latency, other.latency)
        sketch.merge(self.queue, other.queue)


SeriesKey = tuple[str, int]  # model, version; 0 while none was chosen


class Running:
    """The running second of one series. What each answered request took is noted as it is, and summed up later."""

    __slots__ = ("compute_ns", "counts", "queue_s", "rows", "total_s")

    def __init__(self) -> None:
        self.counts = SeriesCounts()
        self.total_s: list[float] = []  # these four go together, one entry a request
        self.queue_s: list[float] = []
        self.rows: list[int] = []
        self.compute_ns: list[int] = []

    def sum_up(self) -> SeriesCounts:
        """All there is so far."""
        counts = self.counts
        if self.total_s:
            counts.requests += len(self.total_s)
            counts.ok += len(self.total_s)
            counts.rows += sum(self.rows)
            counts.compute_ns += sum(self.compute_ns)
            counts.request_s += sum(self.total_s)
            counts.queue_s += sum(self.queue_s)
            sketch.add_all(counts.latency, self.total_s)
            sketch.add_all(counts.queue, self.queue_s)
            for column in (self.total_s, self.queue_s, self.rows, self.compute_ns):
                column.clear()
        return counts


class Telemetry:
    def __init__(self) -> None:
        self.second: dict[SeriesKey, Running] = {}
        self.ending: dict[SeriesKey, Running] = {}  # of the second that is being closed
        self.totals: dict[SeriesKey, SeriesCounts] = {}

    def running(self, model: str, version: int) -> Running:
        running = self.second.get((model, version))
        if running is None:
            running = self.second[model, version] = Running()
        return running

    def counts(self, model: str, version: int) -> SeriesCounts:
        return self.running(model, version).counts

    def answered(self, model: str, version: int, rows: int, total_s: float, queue_s: float, compute_ns: int) -> None:
        running = self.running(model, version)
        running.total_s.append(total_s)
        running.queue_s.append(queue_s)
        running.rows.append(rows)
        running.compute_ns.append(compute_ns)
        if len(running.total_s) >= MOST_NOTED:
            running.sum_up()

    def failed(self, model: str, version: int, code: str, total_s: float) -> None:
        counts = self.counts(model, version)
        counts.requests += 1
        counts.errors[code] = counts.errors.get(code, 0) + 1
        if version:  # what was refused at the door took no time worth telling
            counts.request_s += total_s
            counts.failed_s += total_s
            sketch.add(counts.latency, total_s)

    def batch(self, model: str, version: int, requests: int, rows: int, result: Result) -> None:
        counts = self.counts(model, version)
        counts.last_s = time()
        counts.batches += 1
        counts.batched += requests
        counts.input_ns += result.collate_ns * requests
        counts.infer_ns += result.infer_ns * requests
        counts.output_ns += result.split_ns * requests
        size = counts.by_size.get(rows)
        if size is None:
            size = counts.by_size[rows] = SizeCounts()
        size.batches += 1
        size.input_ns += result.collate_ns
        size.infer_ns += result.infer_ns
        size.output_ns += result.split_ns

    def close_second(self) -> Iterator[Series]:
        """Close the running second, one series a step: what is to be reported of it; the totals take it over.

        Between steps requests may go on: they count for the next second, and nothing is missing from a `snapshot`.
        """
        for key in [key for key in self.second if key not in self.ending]:
            self.ending[key] = self.second.pop(key)
        while self.ending:
            key, running = self.ending.popitem()
            counts = running.sum_up()
            self.fold(key, counts)
            yield to_series(*key, counts)

    def fold(self, key: SeriesKey, counts: SeriesCounts) -> None:
        total = self.totals.setdefault(key, SeriesCounts())
        total.fold(counts)
        total.latency = sketch.bound(total.latency)
        total.queue = sketch.bound(total.queue)

    def forget(self, model: str) -> None:
        """A deleted model's series would otherwise be kept for ever."""
        for key in [key for key in self.totals if key[0] == model]:
            del self.totals[key]

    def snapshot(self) -> dict[SeriesKey, SeriesCounts]:
        """Totals up to this moment, the running second included."""
        merged: dict[SeriesKey, SeriesCounts] = {}
        for key, counts in self.totals.items():
            merged.setdefault(key, SeriesCounts()).fold(counts)
        for source in (self.ending, self.second):
            for key, running in source.items():
                merged.setdefault(key, SeriesCounts()).fold(running.sum_up())
        return merged


def to_series(model: str, version: int, counts: SeriesCounts) -> Series:
    return Series(
        model=model,
        version=version,
        requests=counts.requests,
        ok=counts.ok,
        errors=counts.errors,
        rows=counts.rows,
        batches=counts.batches,
        latency=sketch.bound(counts.latency),
        queue=sketch.bound(counts.queue),
        compute_ns=counts.compute_ns,
    )
