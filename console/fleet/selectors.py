"""Reading the fleet: pools from the database, everything alive from its reports in Redis, each with its age."""

import time
from collections import defaultdict
from dataclasses import dataclass

from console.fleet.choices import Freshness
from console.fleet.models import Pool, Price
from console.fleet.reports import Report, read_report
from console.lib.errors import Missing
from console.lib.models import OutboxMark
from console.lib.outbox import current_epoch
from inference import status
from inference.status import Reading

LIVE_S = 3.0  # heartbeats come each second: three missed and it is stale
LOST_S = 15.0


@dataclass(frozen=True)
class WorkerRow:
    status: status.WorkerStatus
    age_s: float
    freshness: Freshness

    @property
    def id(self) -> str:
        return self.status.replica

    @property
    def uptime_s(self) -> float:
        return max(0.0, self.status.at_s - self.status.started_at_s)


@dataclass(frozen=True)
class DeviceRow:
    """One device with the replicas on it. Readings are the newest that any of them gave."""

    node: str
    name: str  # cpu, cuda:0
    device_name: str
    use: Reading
    memory_used_bytes: Reading
    memory_total_bytes: Reading
    workers: tuple[WorkerRow, ...]


@dataclass(frozen=True)
class ControllerRow:
    status: status.ControllerStatus
    age_s: float
    freshness: Freshness


@dataclass(frozen=True)
class GatewayRow:
    status: status.GatewayStatus
    age_s: float
    freshness: Freshness
    behind: int  # documents whose present generation it has not acknowledged


@dataclass(frozen=True)
class Behind:
    """A document that a gateway does not have in its present generation."""

    gateway: str
    kind: str
    key: str
    has: tuple[str, int] | None
    wants: tuple[str, int]


@dataclass(frozen=True)
class PoolSummary:
    workers: int
    by_state: dict[str, int]
    in_flight: int
    restarts: int
    rows_total: int
    devices: tuple[DeviceRow, ...]
    controller: ControllerRow | None
    gateways: tuple[GatewayRow, ...]
    spares: int
    as_of_s: float | None  # Unix time of the news this was made from; None: never any
    problem: str  # why there is no news, else empty


def freshness_of(age_s: float) -> Freshness:
    if age_s <= LIVE_S:
        return Freshness.LIVE
    return Freshness.STALE if age_s <= LOST_S else Freshness.UNKNOWN


def list_pools() -> list[Pool]:
    return list(Pool.objects.all())


def get_pool(name: str) -> Pool:
    try:
        return Pool.objects.get(name=name)
    except Pool.DoesNotExist:
        raise Missing(f"No pool is called {name!r}.") from None


def list_prices() -> list[Price]:
    return list(Price.objects.all())


def list_workers() -> Report[WorkerRow]:
    """Every replica that reported within the last minutes, in a stable order."""
    report = read_report(status.WORKERS, status.WorkerStatus)
    now = time.time()
    rows = [WorkerRow(item, max(0.0, now - item.at_s), freshness_of(now - item.at_s)) for item in report.items]
    rows.sort(key=lambda row: (row.status.node, row.status.device, row.status.model, row.status.version, row.id))
    return report.with_items(rows)


def get_worker(replica: str) -> WorkerRow:
    workers = list_workers()
    for row in workers.items:
        if row.id == replica:
            return row
    if workers.problem:
        raise Missing(f"Nothing is known of worker {replica!r} now. {workers.problem}")
    raise Missing(f"No worker {replica!r} has reported lately: it stopped, or its pool is silent.")


def list_devices(workers: Report[WorkerRow] | None = None) -> Report[DeviceRow]:
    workers = workers or list_workers()
    grouped: dict[tuple[str, str], list[WorkerRow]] = defaultdict(list)
    for row in workers.items:
        grouped[row.status.node, row.status.device].append(row)
    return workers.with_items([device_row(node, name, rows) for (node, name), rows in sorted(grouped.items())])


def device_row(node: str, name: str, rows: list[WorkerRow]) -> DeviceRow:
    newest = max(rows, key=lambda row: row.status.at_s).status
    return DeviceRow(
        node=node,
        name=name,
        device_name=newest.device_name,
        use=newest.device_use,
        memory_used_bytes=newest.memory_used_bytes,
        memory_total_bytes=newest.memory_total_bytes,
        workers=tuple(rows),
    )


def list_controllers() -> Report[ControllerRow]:
    report = read_report(status.CONTROLLER, status.ControllerStatus)
    now = time.time()
    rows = [ControllerRow(item, max(0.0, now - item.at_s), freshness_of(now - item.at_s)) for item in report.items]
    rows.sort(key=lambda row: -row.status.fence)
    return report.with_items(rows)


def list_gateways() -> Report[GatewayRow]:
    report = read_report(status.GATEWAYS, status.GatewayStatus)
    now = time.time()
    late: dict[str, int] = defaultdict(int)
    for item in find_behind(report.items):
        late[item.gateway] += 1
    rows = [
        GatewayRow(item, max(0.0, now - item.at_s), freshness_of(now - item.at_s), late[item.id])
        for item in report.items
    ]
    rows.sort(key=lambda row: row.status.id)
    return report.with_items(rows)


def list_behind() -> Report[Behind]:
    """Which gateways lack the present generation of which documents."""
    report = read_report(status.GATEWAYS, status.GatewayStatus)
    return report.with_items(find_behind(report.items))


def find_behind(gateways: tuple[status.GatewayStatus, ...]) -> list[Behind]:
    if not gateways:
        return []
    epoch = current_epoch()
    wanted = OutboxMark.objects.filter(kind__in=("spec", "keys")).values_list("kind", "key", "generation")
    behind = []
    for kind, key, generation in wanted:
        for gateway in gateways:
            has = gateway.generations.get(f"{kind}/{key}")
            if has is None or has[0] != epoch or has[1] < generation:
                behind.append(Behind(gateway.id, kind, key, has, (epoch, generation)))
    return behind


def pool_summary() -> PoolSummary:
    workers = list_workers()
    controllers = list_controllers()
    by_state: dict[str, int] = defaultdict(int)
    for row in workers.items:
        by_state[row.status.state.value] += 1
    controller = controllers.items[0] if controllers.items else None
    return PoolSummary(
        workers=len(workers.items),
        by_state=dict(by_state),
        in_flight=sum(row.status.in_flight for row in workers.items),
        restarts=sum(row.status.restarts for row in workers.items),
        rows_total=sum(row.status.rows for row in workers.items),
        devices=list_devices(workers).items,
        controller=controller,
        gateways=list_gateways().items,
        spares=controller.status.spares if controller else 0,
        as_of_s=workers.as_of_s,
        problem=workers.problem,
    )
