"""`/metrics`: our own names, and Triton's `nv_inference_*` with Triton's meaning, so that its dashboards work."""

from inference import sketch
from inference.errors import Busy, DeadlinePassed, Failed, ModelFailed, OutputNotFinite, SwitchyardError
from inference.gateway.errors import CANCELLED
from inference.gateway.report import ProcessReport
from inference.gateway.telemetry import SeriesCounts
from inference.metrics import Exposition
from inference.sketch import Bins

BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def codes(*kinds: type[SwitchyardError]) -> frozenset[str]:
    """The codes of these errors and of all below them."""
    found = {kind.code for kind in kinds}
    for kind in kinds:
        found |= codes(*kind.__subclasses__())
    return frozenset(found)


REASONS = {
    "REJECTED": codes(Busy, DeadlinePassed),
    "CANCELED": frozenset({CANCELLED}),
    "BACKEND": codes(ModelFailed, OutputNotFinite) | {Failed.code},
}


def render_metrics(report: ProcessReport) -> str:
    exposition = Exposition()
    add_process(exposition, report)
    for unit in report.units:
        labels = {"model": unit.model, "version": str(unit.version), "unit": unit.unit}
        exposition.gauge("switchyard_waiting_requests", "Requests in a unit's queue.", unit.waiting, labels)
        exposition.gauge("switchyard_linked_replicas", "Replicas that take a unit's work now.", unit.replicas, labels)
    add_pending(exposition, report)
    for item in report.series:
        labels = {"model": item.model, "version": str(item.version)}
        add_series(exposition, item.counts, labels)
        if item.version:
            add_triton_series(exposition, item.counts, labels)
    return exposition.render()


def add_process(exposition: Exposition, report: ProcessReport) -> None:
    gauge, counter = exposition.gauge, exposition.counter
    gauge("switchyard_gateway_processes", "Gateway processes that share the port.", report.processes)
    gauge("switchyard_gateway_ready", "1 while requests should be sent here.", int(report.ready))
    gauge("switchyard_gateway_connections", "Open client connections.", report.connections)
    gauge("switchyard_buffered_body_bytes", "Request bodies read and not answered yet.", report.buffered_bytes)
    gauge("switchyard_running_requests", "Inferences between arrival and answer.", report.running)
    gauge("switchyard_feed_connected", "1 while every process hears Redis.", int(report.connected))
    gauge(
        "switchyard_feed_revision", "Revision of the change feed that every process has reached.", report.feed_revision
    )
    gauge("switchyard_gateway_start_time_seconds", "Unix time of the oldest process's start.", report.started_at_s)
    counter("switchyard_connections_total", "Client connections accepted.", report.accepted)
    counter("switchyard_connections_refused_total", "Client connections closed at the limit.", report.turned_away)
    counter("switchyard_reports_dropped_total", "Telemetry seconds lost while Redis was away.", report.reports_dropped)


def add_series(exposition: Exposition, counts: SeriesCounts, labels: dict[str, str]) -> None:
    counter = exposition.counter
    for code, number in (("ok", counts.ok), *sorted(counts.errors.items())):
        counter("switchyard_requests_total", "Requests answered, by outcome.", number, {**labels, "code": code})
    counter("switchyard_rows_total", "Rows answered.", counts.rows, labels)
    counter("switchyard_batches_total", "Batches that the model ran.", counts.batches, labels)
    compute_s = counts.compute_ns / 1e9
    counter("switchyard_compute_seconds_total", "Time in the model, shared out by rows.", compute_s, labels)
    for name, text, bins, total_s in (
        ("switchyard_request_duration_seconds", "HTTP in to HTTP out.", counts.latency, counts.request_s),
        ("switchyard_queue_duration_seconds", "Waiting for a replica.", counts.queue, counts.queue_s),
    ):
        exposition.histogram(name, text, buckets_of(bins), sum(bins.values()), total_s, labels)


def add_triton_series(exposition: Exposition, counts: SeriesCounts, labels: dict[str, str]) -> None:
    counter = exposition.counter
    failures = {reason: sum(counts.errors.get(code, 0) for code in known) for reason, known in REASONS.items()}
    failures["OTHER"] = sum(counts.errors.values()) - sum(failures.values())
    counter("nv_inference_request_success", "Successful inference requests.", counts.ok, labels)
    for reason, number in failures.items():
        counter("nv_inference_request_failure", "Failed inference requests.", number, {**labels, "reason": reason})
    counter("nv_inference_count", "Inferences performed; a request of n rows is n.", counts.rows, labels)
    counter("nv_inference_exec_count", "Model executions; a batch is one.", counts.batches, labels)
    for name, text, seconds in (
        ("request", "Cumulative inference request duration.", counts.request_s - counts.failed_s),
        ("queue", "Cumulative inference queuing duration.", counts.queue_s),
        ("compute_input", "Cumulative compute input duration.", counts.input_ns / 1e9),
        ("compute_infer", "Cumulative compute inference duration.", counts.infer_ns / 1e9),
        ("compute_output", "Cumulative compute output duration.", counts.output_ns / 1e9),
    ):
        counter(f"nv_inference_{name}_duration_us", f"{text[:-1]} in microseconds.", int(seconds * 1e6), labels)


def add_pending(exposition: Exposition, report: ProcessReport) -> None:
    pending: dict[tuple[str, int], int] = {}
    for unit in report.units:
        pending[unit.model, unit.version] = pending.get((unit.model, unit.version), 0) + unit.waiting
    for (model, version), waiting in pending.items():
        labels = {"model": model, "version": str(version)}
        exposition.gauge("nv_inference_pending_request_count", "Requests waiting for execution.", waiting, labels)


def buckets_of(bins: Bins) -> dict[float, int]:
    """Prometheus' cumulative buckets of a sketch; each sample is within 1 % of where it is counted."""
    below = dict.fromkeys(BOUNDS_S, 0)
    for bucket, count in bins.items():
        value = sketch.value_of(bucket)
        for bound in BOUNDS_S:
            if value <= bound:
                below[bound] += count
    return below
