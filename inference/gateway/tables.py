"""Documents turned into look-ups: for each model how to route, for each version how to run.

A table is made when a model is first asked for and dropped when one of its documents changes, so a change in one of
ten thousand models costs as much as in one. A request keeps the plan it started with.
"""

from msgspec import Struct

from inference.errors import BadDocument, ModelNotFound
from inference.gateway.batcher import UnitQueue
from inference.gateway.dispatch import Dispatcher
from inference.gateway.keys import KeyTable
from inference.log import get_log
from inference.policy.hints import is_unloaded
from inference.policy.routing import RoutingTable, prepare
from inference.policy.units import unit_signature
from inference.spec import ModelSpec, Signature, Version
from inference.status import Endpoint
from inference.sync.documents import Documents

log = get_log()


class UnitStep(Struct, frozen=True):
    queue: UnitQueue
    takes: tuple[str, ...]  # names of the tensors at hand that it wants, in its order


class VersionPlan(Struct, frozen=True):
    version: Version
    label: str  # the number as text
    label_bytes: bytes
    signature: Signature
    steps: tuple[UnitStep, ...]
    direct: bool  # one unit that takes and gives exactly what the client does
    gives: tuple[str, ...]
    timeout_s: float  # of a client that names none
    labels: dict[str, list[str]]  # of outputs that a classify stage has names for


class ModelTable:
    def __init__(self, spec: ModelSpec, routing: RoutingTable, dispatcher: Dispatcher, unloaded: bool):
        self.spec = spec
        self.unloaded = unloaded  # by an operator's hint
        self.routing = routing
        self.dispatcher = dispatcher
        self.plans: dict[int, VersionPlan] = {}
        self.versions = {version.number: version for version in spec.versions}

    def plan(self, number: int) -> VersionPlan:
        plan = self.plans.get(number)
        if plan is None:
            plan = self.plans[number] = make_plan(self.spec.name, self.versions[number], self.dispatcher)
        return plan


def make_plan(model: str, version: Version, dispatcher: Dispatcher) -> VersionPlan:
    steps = tuple(
        UnitStep(
            dispatcher.queue_for(model, version, unit),
            tuple(tensor.name for tensor in unit_signature(version, unit).inputs),
        )
        for unit in version.units
    )
    gives = tuple(tensor.name for tensor in version.signature.outputs)
    taken = tuple(tensor.name for tensor in version.signature.inputs)
    return VersionPlan(
        version=version,
        label=str(version.number),
        label_bytes=str(version.number).encode(),
        signature=version.signature,
        steps=steps,
        direct=len(steps) == 1 and steps[0].takes == taken,
        gives=gives,
        timeout_s=sum(unit.queue.timeout_s for unit in version.units),
        labels={
            stage.signature.inputs[0].name: [str(label) for label in labels]
            for stage in version.stages
            if stage.use == "classify" and isinstance(labels := stage.config.get("labels"), list)
        },
    )


class Tables:
    """All look-ups of this process, kept in step with the documents."""

    def __init__(self, dispatcher: Dispatcher):
        self.dispatcher = dispatcher
        self.documents = Documents()
        self.keys = KeyTable()
        self.keys_number = 0  # rises with each change of keys
        self.models: dict[str, ModelTable] = {}

    def load(self, documents: Documents) -> None:
        """Start from documents that are at hand already."""
        self.documents = documents
        self.keys = KeyTable(documents.keys)
        self.models.clear()
        for endpoints in documents.endpoints.values():
            self.dispatcher.apply(endpoints, self.find_version)

    def apply(self, documents: Documents, kind: str, key: str) -> None:
        """One document changed. Cheap, whatever the number of models."""
        self.documents = documents
        if kind == "keys":
            self.keys = KeyTable(documents.keys)
            self.keys_number += 1
        elif kind in ("spec", "effective", "hint"):
            self.models.pop(key, None)
            if kind == "spec":
                self.apply_spec(key)
        elif kind == "endpoints" and key in documents.endpoints:
            self.dispatcher.apply(documents.endpoints[key], self.find_version)

    def apply_spec(self, model: str) -> None:
        spec = self.documents.models.get(model)
        self.dispatcher.keep_queues(model, spec.versions if spec else ())
        if spec is None:
            self.dispatcher.telemetry.forget(model)
            return
        # A changed batch or queue policy holds from now on. A model that nobody called and nothing runs has no queues,
        # and gets none for being changed: of ten thousand most are idle.
        for version in spec.versions if model in self.dispatcher.queues else ():
            try:
                for unit in version.units:
                    self.dispatcher.queue_for(model, version, unit)
            except BadDocument as error:  # the others are served; who calls this one is told why not
                log.error("version_refused", model=model, version=version.number, error=str(error))
        endpoints = self.documents.endpoints.get(spec.pool)
        if endpoints is not None and any(endpoint.model == model for endpoint in endpoints.replicas):
            self.dispatcher.apply(endpoints, self.find_version)

    def find_version(self, endpoint: Endpoint) -> Version | None:
        spec = self.documents.models.get(endpoint.model)
        if spec is None:
            return None
        for version in spec.versions:
            if version.number == endpoint.version and version.digest == endpoint.digest:
                return version
        return None

    def model(self, name: str) -> ModelTable:
        """Raises ModelNotFound."""
        table = self.models.get(name)
        if table is None:
            spec = self.documents.models.get(name)
            if spec is None:
                raise ModelNotFound(name[:80])
            routing = prepare(spec, self.documents.effective.get(name))
            unloaded = is_unloaded(spec, self.documents.hints.get(name))
            table = self.models[name] = ModelTable(spec, routing, self.dispatcher, unloaded)
        return table
