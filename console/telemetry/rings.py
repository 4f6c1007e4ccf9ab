"""Rings: the last hour, second by second, in the monitor's memory. They are the truth for live views.

Everything is bounded: an hour of seconds, a number of cells (then the oldest seconds leave early and the roll-ups in
the database answer for them), a number of workers.
"""

from collections.abc import Iterable, Iterator
from math import nan
from typing import NamedTuple

import numpy as np
from msgspec import Struct, field

from console.telemetry.cells import Cell
from inference.status import TelemetrySecond, WorkerStatus

SPAN_S = 3_600
OLDEST_S = 86_400  # a report from further back has a broken clock behind it
AHEAD_S = 5  # a gateway's clock may be this far ahead; more is refused
MAX_CELLS = 100_000  # about 100 MB at 50 bins a second and series
MAX_WORKERS = 512

Key = tuple[str, int]  # model, version


class Gauge(NamedTuple):
    """What the gateways said of themselves over some seconds."""

    seconds: int  # in which at least one gateway reported
    waiting: int  # sums over those seconds
    in_flight: int
    dropped: int


class Second(Struct):
    gateways: set[str] = field(default_factory=set)
    cells: dict[Key, Cell] = field(default_factory=dict)
    waiting: int = 0
    in_flight: int = 0
    dropped: int = 0

    @property
    def gauge(self) -> Gauge:
        return Gauge(1, self.waiting, self.in_flight, self.dropped)


class Rings:
    def __init__(self, span_s: int = SPAN_S, max_cells: int = MAX_CELLS):
        self.span_s, self.max_cells = span_s, max_cells
        self.seconds: dict[int, Second] = {}
        self.cells = 0
        self.newest = 0
        self.changed: set[int] = set()  # since `take_changed`
        self.refused = 0  # reports whose second cannot be right

    def add(self, report: TelemetrySecond, now_s: float) -> bool:
        """Take one report; False where it was had already or cannot be right. Late ones go where they belong.

        One that is older than the rings is not kept here, but True: it belongs to history all the same.
        """
        if not now_s - OLDEST_S < report.second < now_s + AHEAD_S:
            self.refused += 1
            return False
        if report.second <= now_s - self.span_s:
            return True
        second = self.seconds.setdefault(report.second, Second())
        if report.gateway in second.gateways:
            return False
        second.gateways.add(report.gateway)
        second.waiting += report.waiting
        second.in_flight += report.in_flight
        second.dropped += report.dropped
        for series in report.series:
            cell = second.cells.get((series.model, series.version))
            if cell is None:
                second.cells[series.model, series.version] = Cell.of(series)
                self.cells += 1
            else:
                cell.add(Cell.of(series))
        self.newest = max(self.newest, report.second)
        self.changed.add(report.second)
        return True

    def forget(self, now_s: float) -> None:
        """Drop what is older than the span, and the oldest seconds while there are too many cells."""
        for second in sorted(self.seconds):
            if second > now_s - self.span_s and self.cells <= self.max_cells:
                break
            self.cells -= len(self.seconds.pop(second).cells)
            self.changed.discard(second)

    def take_changed(self) -> set[int]:
        changed, self.changed = self.changed, set()
        return changed

    @property
    def since(self) -> int:
        """The oldest second held; 0 where nothing is."""
        return min(self.seconds, default=0)

    def window(self, start: int, end: int) -> Iterator[tuple[int, Second]]:
        """Known seconds of start ≤ t < end, in no particular order."""
        if end - start > len(self.seconds):
            yield from ((t, second) for t, second in self.seconds.items() if start <= t < end)
        else:
            yield from ((t, self.seconds[t]) for t in range(start, end) if t in self.seconds)


class WorkerRings:
    """What each worker measured, second by second: busy and device use in percent, memory in bytes."""

    COLUMNS = ("busy", "device_use", "memory_bytes")

    def __init__(self, span_s: int = SPAN_S, most: int = MAX_WORKERS):
        self.span_s, self.most = span_s, most
        self.readings: dict[str, np.ndarray] = {}
        self.written: dict[str, int] = {}  # replica → its newest second
        self.since = 0  # the first second ever added; readings are not replayed when the monitor starts

    def add(self, second: int, workers: Iterable[WorkerStatus]) -> None:
        self.since = self.since or second
        for worker in workers:
            ring = self.readings.get(worker.replica)
            if ring is None:
                ring = self.readings[worker.replica] = np.full((self.span_s, len(self.COLUMNS)), nan, np.float64)
                self.written[worker.replica] = second
                self.drop_oldest()
            for missed in range(max(self.written[worker.replica] + 1, second - self.span_s + 1), second):
                ring[missed % self.span_s] = nan
            ring[second % self.span_s] = [
                nan if reading.value is None else reading.value
                for reading in (worker.busy, worker.device_use, worker.memory_used_bytes)
            ]
            self.written[worker.replica] = max(second, self.written[worker.replica])

    def drop_oldest(self) -> None:
        while len(self.readings) > self.most:
            oldest = min(self.written, key=self.written.__getitem__)
            del self.readings[oldest], self.written[oldest]

    def forget(self, now_s: float) -> None:
        for replica in [name for name, second in self.written.items() if second <= now_s - self.span_s]:
            del self.readings[replica], self.written[replica]

    def window(self, replica: str, start: int, end: int) -> np.ndarray:
        """Rows of start ≤ t < end, all NaN where nothing was measured or it is no longer held."""
        asked = np.arange(start, end)
        rows = self.readings[replica][asked % self.span_s].copy()
        newest = self.written[replica]
        rows[(asked > newest) | (asked <= newest - self.span_s)] = nan
        return rows

    def samples(self, start: int, end: int, step: int) -> Iterator[tuple[int, str, dict[str, tuple[float, int]]]]:
        """Sums by replica and step, for `series.evaluate_workers`."""
        for replica in self.readings:
            rows = self.window(replica, start, end)
            for first in range(0, len(rows), step):
                part = rows[first : first + step]
                counts = (~np.isnan(part)).sum(axis=0)
                if not counts.any():
                    continue
                last = first + int(np.flatnonzero((~np.isnan(part)).any(axis=1))[-1])
                sums = np.nansum(part, axis=0)
                yield (
                    start + last,
                    replica,
                    {name: (float(sums[i]), int(counts[i])) for i, name in enumerate(self.COLUMNS)},
                )
