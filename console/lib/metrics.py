"""The console's own Prometheus metrics. Traffic of models is measured by the gateway, on its admin port."""

from collections.abc import Iterable

from django.db import DatabaseError
from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from console.lib.models import OutboxMark

registry = CollectorRegistry()
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)

requests = Counter("switchyard_console_requests", "Requests answered", ["method", "route", "status"], registry=registry)
seconds = Histogram(
    "switchyard_console_request_seconds", "Time to answer", ["route"], registry=registry,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip


class Outbox(Collector):
    """Read when asked, so that several console processes say the same."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        try:
            pending = OutboxMark.objects.filter(pending=True).count()
        except DatabaseError:
            return  # no sample is the honest answer: the database is away
        yield GaugeMetricFamily("switchyard_console_outbox_pending", "Documents not yet published", value=pending)


registry.register(Outbox())
