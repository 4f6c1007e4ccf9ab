"""Reading what serves: traffic, what is live and how far it is loaded, and the form of the playground."""

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch, Q, QuerySet

from console.fleet.choices import Freshness
from console.fleet.selectors import WorkerRow, list_workers
from console.registry import selectors as registry
from console.registry.models import Model, Version
from console.serving.choices import Assignment, InputKind, LoadState
from console.serving.models import CachePolicy, LivePin, Traffic, TrafficWeight
from console.serving.samples import sample_requests
from inference import spec
from inference.status import ReplicaState

MAX_EXAMPLE_NUMBERS = 1024


@dataclass(frozen=True)
class WeightRow:
    version: Version
    percent: float


@dataclass(frozen=True)
class TrafficView:
    """A model's split as it is wanted. `row_version` is 0 while none was ever set."""

    weights: tuple[WeightRow, ...]
    assignment: str
    row_version: int
    updated_by: str

    @property
    def serving(self) -> bool:
        return bool(self.weights)

    def percent_of(self, version: Version) -> float:
        return next((row.percent for row in self.weights if row.version.pk == version.pk), 0.0)


@dataclass(frozen=True)
class UnitLoad:
    """Replicas of one unit of one version."""

    unit: str
    ready: int
    wanted: int
    workers: tuple[WorkerRow, ...]


@dataclass(frozen=True)
class VersionRow:
    """One line of a model's versions: what it is, who points at it, how it is loaded."""

    version: Version
    aliases: tuple[str, ...]
    percent: float
    pinned: bool
    live: bool
    load: LoadState
    units: tuple[UnitLoad, ...]
    why: str  # of a failed or unknown load

    @property
    def loaded_on(self) -> int:
        return sum(unit.ready for unit in self.units)


@dataclass(frozen=True)
class ModelRow:
    """One line of the list of models."""

    model: Model
    stable: Version | None
    newest: Version | None
    version_count: int
    weights: tuple[WeightRow, ...]
    load: LoadState  # of the version that gets most of the traffic


@dataclass(frozen=True)
class InputField:
    """One tensor of the playground's form."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    kind: InputKind
    example: str


def traffic_of(model: Model) -> TrafficView:
    held = Traffic.objects.filter(model=model).prefetch_related("weights__version").first()
    if held is None:
        return TrafficView((), Assignment.REQUEST, 0, "")
    weights = tuple(WeightRow(weight.version, weight.percent) for weight in held.weights.all())
    return TrafficView(weights, held.assignment, held.row_version, held.updated_by)


def live_versions(model: Model) -> QuerySet[Version]:
    """Those to be loaded and addressable: with traffic, an alias, kept loaded by hand, or still handing over."""
    if model.archived_at is not None:
        return Version.objects.none()
    wanted = Q(weights__isnull=False) | Q(aliases__isnull=False) | Q(live_pin__isnull=False) | Q(outgoing__isnull=False)
    live = Version.objects.filter(wanted, model=model, artifact__isnull=False).distinct()
    return live.select_related("artifact", "model").prefetch_related("artifact__files").order_by("number")


def cache_policy_of(model: Model) -> CachePolicy:
    """The stored policy, or the one that holds until there is one (unsaved, row_version 0)."""
    return CachePolicy.objects.filter(model=model).first() or CachePolicy(model=model, row_version=0)


def list_version_rows(model: Model) -> list[VersionRow]:
    """Newest first. One look at the workers for all of them."""
    report = list_workers()
    traffic = traffic_of(model)
    live = set(live_versions(model).values_list("pk", flat=True))
    pinned = set(LivePin.objects.filter(version__model=model).values_list("version_id", flat=True))
    by_version = group_workers(report.items, model.name)
    rows = []
    for version in registry.list_versions(model):
        units = unit_loads(version, by_version.get(version.number, []))
        load, why = load_state(
            live=version.pk in live,
            known=report.freshness is not Freshness.UNKNOWN,
            percent=traffic.percent_of(version),
            units=units,
        )
        rows.append(
            VersionRow(
                version=version,
                aliases=tuple(alias.name for alias in version.aliases.all()),
                percent=traffic.percent_of(version),
                pinned=version.pk in pinned,
                live=version.pk in live,
                load=load,
                units=units,
                why=why or (report.problem if load is LoadState.UNKNOWN else ""),
            )
        )
    return rows


def get_version_row(version: Version) -> VersionRow:
    return next(row for row in list_version_rows(version.model) if row.version.pk == version.pk)


def list_model_rows(models: QuerySet[Model]) -> list[ModelRow]:
    """For one page of models: a fixed number of queries, and one look at the workers."""
    weights = TrafficWeight.objects.select_related("version")
    page = list(models.prefetch_related(Prefetch("traffic__weights", weights), "versions", "aliases__version"))
    report = list_workers()
    known = report.freshness is not Freshness.UNKNOWN
    rows = []
    for model in page:
        by_version = group_workers(report.items, model.name)
        traffic = getattr(model, "traffic", None)
        split = tuple(WeightRow(weight.version, weight.percent) for weight in traffic.weights.all()) if traffic else ()
        load = LoadState.NOT_LIVE
        if split:
            main = split[0].version
            units = unit_loads(main, by_version.get(main.number, []))
            load, _ = load_state(live=True, known=known, percent=split[0].percent, units=units)
        versions = sorted(model.versions.all(), key=lambda version: version.number)
        rows.append(
            ModelRow(
                model=model,
                stable=next((alias.version for alias in model.aliases.all() if alias.name == "stable"), None),
                newest=versions[-1] if versions else None,
                version_count=len(versions),
                weights=split,
                load=load,
            )
        )
    return rows


def group_workers(workers: tuple[WorkerRow, ...], model: str) -> dict[int, list[WorkerRow]]:
    grouped: dict[int, list[WorkerRow]] = defaultdict(list)
    for worker in workers:
        if worker.status.model == model:
            grouped[worker.status.version].append(worker)
    return grouped


def unit_loads(version: Version, workers: list[WorkerRow]) -> tuple[UnitLoad, ...]:
    loads = []
    for unit in version.unit_specs():
        mine = tuple(worker for worker in workers if worker.status.unit == unit.name)
        ready = sum(worker.status.state is ReplicaState.READY for worker in mine)
        loads.append(UnitLoad(unit.name, ready, unit.scale.min_replicas, mine))
    return tuple(loads)


def load_state(*, live: bool, known: bool, percent: float, units: tuple[UnitLoad, ...]) -> tuple[LoadState, str]:
    """What to say of a version's load, and why where it failed. It answers when each of its units has one ready."""
    if not live:
        return LoadState.NOT_LIVE, ""
    if not known:
        return LoadState.UNKNOWN, ""
    if units and all(unit.ready for unit in units):
        return (LoadState.SERVING if percent else LoadState.READY), ""
    workers = [worker for unit in units for worker in unit.workers]
    failed = [worker.status for worker in workers if worker.status.state is ReplicaState.FAILED]
    if failed:
        return LoadState.FAILED, failed[0].reason
    return (LoadState.LOADING if workers else LoadState.WAITING), ""


def playground_inputs(version: Version) -> list[InputField]:
    """The form for this version's inputs, each with an example that it can answer."""
    images = {
        tensor.name for stage in version.stage_specs() if stage.use == "image" for tensor in stage.signature.inputs
    }
    given = {item["name"]: item["data"] for item in sample_requests(version)[0]["inputs"]}
    return [
        InputField(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=tensor.shape,
            kind=kind_of(tensor, images),
            example=write_example(given[tensor.name]),
        )
        for tensor in version.signature_spec().inputs
    ]


def kind_of(tensor: spec.TensorSpec, images: set[str]) -> InputKind:
    if tensor.datatype != "BYTES":
        return InputKind.NUMBERS
    return InputKind.IMAGE if tensor.name in images else InputKind.TEXT


def write_example(data: list[Any]) -> str:
    """As the form shows it: text, a picture as a data: address, numbers with commas between."""
    first = data[0]
    if isinstance(first, dict):
        return f"data:image/png;base64,{first['b64']}"
    return first if isinstance(first, str) else ", ".join(json.dumps(value) for value in data[:MAX_EXAMPLE_NUMBERS])
