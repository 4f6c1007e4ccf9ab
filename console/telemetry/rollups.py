"""Write roll-ups: each report counts once, whatever restarts between its arrival and its row.

A bucket's gateway row remembers the stream id up to which its reports are in (`through`). A flush reads that mark in
the transaction that adds to the rows, and leaves out what the mark covers. So the monitor may replay the whole stream
when it starts, and a second that comes late is simply added. Both grains are written together.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from django.db import transaction

from console.telemetry.cells import Cell, fold
from console.telemetry.models import GRAINS_S, GatewayRollUp, RollUp, WorkerRollUp
from inference.status import TelemetrySecond, WorkerStatus

FINE_S = GRAINS_S[0]
GRACE_S = 3  # reports of a bucket may come this long after its end before its rows are first written
COUNTERS = ("requests", "ok", "rows", "batches", "cache_hits", "cache_misses", "compute_ns")
READINGS = ("busy", "device_use", "memory_bytes")

Key = tuple[str, int]  # model, version


class Entry(NamedTuple):
    """One report as it came from the stream."""

    id: str
    report: TelemetrySecond


def order_of(stream_id: str) -> tuple[int, int]:
    """Stream ids sort by time, then by number within the millisecond."""
    time_ms, _, number = stream_id.partition("-")
    return int(time_ms), int(number)


def bucket_of(second: int, grain_s: int = FINE_S) -> int:
    return second - second % grain_s


@transaction.atomic
def add_reports(entries: Iterable[Entry]) -> int:
    """Add reports to the rows of their buckets; returns how many were not in them before."""
    by_bucket: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_bucket[bucket_of(entry.report.second)].append(entry)
    gateways = {row.start_s: row for row in GatewayRollUp.objects.filter(grain_s=FINE_S, start_s__in=by_bucket)}
    coarse: dict[int, GatewayRollUp] = {}
    cells: dict[tuple[int, int], dict[Key, Cell]] = defaultdict(dict)  # (grain, start) → what is new in it
    added = 0
    for start, reports in by_bucket.items():
        fine = gateways.setdefault(start, GatewayRollUp(grain_s=FINE_S, start_s=start))
        through = order_of(fine.through)
        fresh = [entry for entry in reports if order_of(entry.id) > through]
        if not fresh:
            continue
        added += len(fresh)
        fine.through = max((entry.id for entry in fresh), key=order_of)
        for grain in GRAINS_S[1:]:
            wide = coarse.setdefault(
                bucket_of(start, grain), GatewayRollUp(grain_s=grain, start_s=bucket_of(start, grain))
            )
            add_gauges(fine, wide, fresh)
        for grain in GRAINS_S:
            add_series(cells[grain, bucket_of(start, grain)], fresh)
    if added:
        save_gateways([row for row in gateways.values() if row.through != "0-0"], coarse)
        save_cells(cells)
    return added


def add_gauges(fine: GatewayRollUp, wide: GatewayRollUp, fresh: list[Entry]) -> None:
    """Into the fine row itself, and into a row that holds what is new for the wide one."""
    for _, report in fresh:
        bit = 1 << (report.second - fine.start_s)
        first_of_second = not fine.seconds_seen & bit
        fine.seconds_seen |= bit
        for row in (fine, wide):
            row.seconds += first_of_second
            row.waiting += report.waiting
            row.in_flight += report.in_flight
            row.dropped += report.dropped


def add_series(into: dict[Key, Cell], fresh: list[Entry]) -> None:
    for _, report in fresh:
        for series in report.series:
            key = (series.model, series.version)
            cell = Cell.of(series)
            if key in into:
                into[key].add(cell)
            else:
                into[key] = cell


def save_gateways(fine: list[GatewayRollUp], new: dict[int, GatewayRollUp]) -> None:
    sums = ("seconds", "waiting", "in_flight", "dropped")
    grain = GRAINS_S[1]
    for held in GatewayRollUp.objects.filter(grain_s=grain, start_s__in=new):
        for name in sums:
            setattr(new[held.start_s], name, getattr(new[held.start_s], name) + getattr(held, name))
    GatewayRollUp.objects.bulk_create(
        [*fine, *new.values()],
        update_conflicts=True,
        unique_fields=["grain_s", "start_s"],
        update_fields=[*sums, "seconds_seen", "through"],
    )


def save_cells(new: dict[tuple[int, int], dict[Key, Cell]]) -> None:
    rows: list[RollUp] = []
    for grain in GRAINS_S:
        starts = [start for held_grain, start in new if held_grain == grain]
        held = {
            (row.start_s, row.model, row.version): cell_of(row)
            for row in RollUp.objects.filter(grain_s=grain, start_s__in=starts)
        }
        for start in starts:
            for (model, version), cell in new[grain, start].items():
                if before := held.get((start, model, version)):
                    cell.add(before)
                rows.append(row_of(grain, start, model, version, cell))
    RollUp.objects.bulk_create(
        rows,
        batch_size=50,  # SQLite takes a limited number of values a statement
        update_conflicts=True,
        unique_fields=["grain_s", "start_s", "model", "version"],
        update_fields=[*COUNTERS, "errors", "latency", "queue"],
    )


def row_of(grain: int, start: int, model: str, version: int, cell: Cell) -> RollUp:
    return RollUp(
        grain_s=grain,
        start_s=start,
        model=model,
        version=version,
        errors=cell.errors,
        latency=fold(cell.latency),
        queue=fold(cell.queue),
        **{name: getattr(cell, name) for name in COUNTERS},
    )


def cell_of(row: RollUp) -> Cell:
    return Cell(
        errors=dict(row.errors),
        latency=bytes(row.latency),
        queue=bytes(row.queue),
        **{name: getattr(row, name) for name in COUNTERS},
    )


class WorkerSamples:
    """Readings of workers since the last flush, summed by bucket; the monitor takes one a second."""

    def __init__(self, most: int = 20_000):
        self.rows: dict[tuple[int, int, str], WorkerRollUp] = {}
        self.most = most

    def add(self, second: int, workers: Iterable[WorkerStatus]) -> None:
        for worker in workers:
            values = (worker.busy.value, worker.device_use.value, worker.memory_used_bytes.value)
            for grain in GRAINS_S:
                key = (grain, bucket_of(second, grain), worker.replica)
                row = self.rows.get(key)
                if row is None:
                    if len(self.rows) >= self.most:  # the database has been away for long
                        continue
                    row = self.rows[key] = WorkerRollUp(grain_s=grain, start_s=key[1], replica=worker.replica)
                for name, value in zip(READINGS, values, strict=True):
                    if value is not None:
                        setattr(row, name, getattr(row, name) + value)
                        setattr(row, f"{name}_samples", getattr(row, f"{name}_samples") + 1)

    def take(self) -> list[WorkerRollUp]:
        rows, self.rows = list(self.rows.values()), {}
        return rows

    def put_back(self, rows: Iterable[WorkerRollUp]) -> None:
        """What could not be written: it is added to what came meanwhile."""
        for row in rows:
            key = (row.grain_s, row.start_s, row.replica)
            add_samples(self.rows.setdefault(key, WorkerRollUp(grain_s=key[0], start_s=key[1], replica=key[2])), row)


def add_samples(into: WorkerRollUp, other: WorkerRollUp) -> None:
    for name in (*READINGS, *(f"{name}_samples" for name in READINGS)):
        setattr(into, name, getattr(into, name) + getattr(other, name))


@transaction.atomic
def add_worker_samples(rows: list[WorkerRollUp]) -> None:
    for grain in GRAINS_S:
        new = {(row.start_s, row.replica): row for row in rows if row.grain_s == grain}
        written = {
            (row.start_s, row.replica): row
            for row in WorkerRollUp.objects.filter(grain_s=grain, start_s__in={start for start, _ in new})
        }
        for key, row in new.items():
            held = WorkerRollUp(grain_s=grain, start_s=row.start_s, replica=row.replica)
            add_samples(held, row)
            if key in written:
                add_samples(held, written[key])
            written[key] = held
        WorkerRollUp.objects.bulk_create(
            [written[key] for key in new],
            batch_size=80,
            update_conflicts=True,
            unique_fields=["grain_s", "start_s", "replica"],
            update_fields=[*READINGS, *(f"{name}_samples" for name in READINGS)],
        )
