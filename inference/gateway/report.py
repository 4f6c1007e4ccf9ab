"""What one gateway process says of itself, and how several make one: the admin port shows the sum.

Children report once a second and when they end. What a child counted stays counted after it died: its last report is
kept in `retired`, so that no counter ever goes backwards.
"""

from msgspec import Struct, field

from inference.gateway.telemetry import SeriesCounts


class SeriesReport(Struct):
    model: str
    version: int
    counts: SeriesCounts


class UnitReport(Struct):
    """Gauges of one unit's queue."""

    model: str
    version: int
    unit: str
    waiting: int
    replicas: int


class ProcessReport(Struct):
    started_at_s: float
    ready: bool = False
    why_not: str = ""
    connected: bool = False
    feed_revision: int = 0
    processes: int = 1
    running: int = 0
    connections: int = 0
    buffered_bytes: int = 0  # of request bodies not answered yet
    accepted: int = 0
    turned_away: int = 0
    reports_dropped: int = 0
    series: list[SeriesReport] = field(default_factory=list)
    units: list[UnitReport] = field(default_factory=list)


def merge(reports: list[ProcessReport]) -> ProcessReport:
    """One report of all: counters add up, gauges too, ready is who is ready."""
    if not reports:
        return ProcessReport(0.0, why_not="No gateway process runs.", processes=0)
    merged = ProcessReport(min(report.started_at_s for report in reports), processes=0)
    series: dict[tuple[str, int], SeriesReport] = {}
    units: dict[tuple[str, int, str], UnitReport] = {}
    for report in reports:
        merged.processes += report.processes
        merged.running += report.running
        merged.connections += report.connections
        merged.buffered_bytes += report.buffered_bytes
        merged.accepted += report.accepted
        merged.turned_away += report.turned_away
        merged.reports_dropped += report.reports_dropped
        for item in report.series:
            key = (item.model, item.version)
            series.setdefault(key, SeriesReport(*key, SeriesCounts())).counts.fold(item.counts)
        for unit in report.units:
            place = (unit.model, unit.version, unit.unit)
            held = units.setdefault(place, UnitReport(*place, 0, 0))
            held.waiting += unit.waiting
            held.replicas = max(held.replicas, unit.replicas)
    living = [report for report in reports if report.processes]
    merged.ready = any(report.ready for report in living)
    merged.why_not = "" if merged.ready else next((report.why_not for report in living), "No gateway process runs.")
    merged.connected = bool(living) and all(report.connected for report in living)
    merged.feed_revision = min((report.feed_revision for report in living), default=0)
    merged.series = list(series.values())
    merged.units = list(units.values())
    return merged


def retire(report: ProcessReport) -> ProcessReport:
    """What stays of a process that ended: its counters."""
    return ProcessReport(
        report.started_at_s,
        processes=0,
        accepted=report.accepted,
        turned_away=report.turned_away,
        reports_dropped=report.reports_dropped,
        series=report.series,
    )
