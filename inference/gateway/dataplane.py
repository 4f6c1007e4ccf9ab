"""Inference itself, free of HTTP: every edge calls `infer`."""

import asyncio
from functools import partial
from itertools import pairwise

from inference.errors import NotReady, SwitchyardError, VersionNotFound
from inference.gateway.flight import Answer, Call, Done, Flight
from inference.gateway.keys import check_key
from inference.gateway.tables import ModelTable, Tables
from inference.gateway.telemetry import Telemetry
from inference.gateway.waiting import resolve
from inference.protocol.messages import InferRequest
from inference.spec import ApiKey, Version


class Dataplane:
    def __init__(self, tables: Tables, telemetry: Telemetry):
        self.tables = tables
        self.dispatcher = tables.dispatcher
        self.telemetry = telemetry
        self.running = 0
        self.draining = False

    def begin(self, asked: InferRequest, call: Call, arrived_s: float, done: Done) -> Flight:
        """Choose a version, take the request through its units, call `done` with the answer or a SwitchyardError."""
        flight = Flight(self, asked, call, arrived_s, done)
        flight.start()
        return flight

    async def infer(self, asked: InferRequest, call: Call, arrived_s: float) -> Answer:
        """`begin` for who waits. Raises SwitchyardError. Cancelling it drops the work."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        flight = self.begin(asked, call, arrived_s, partial(resolve, future))
        try:
            return await future
        except asyncio.CancelledError:
            flight.cancel()
            raise
        finally:
            del future, flight  # an error that is raised here holds this frame, and must not hold itself

    def refused(self, model: str, error: SwitchyardError) -> None:
        """Count a request that an edge could not even read."""
        self.telemetry.failed(model if model in self.tables.documents.models else "", 0, error.code, 0.0)

    def model_for(self, name: str, principal: ApiKey) -> ModelTable:
        """The model, where this key may call it. Raises Refused kinds, ModelNotFound or NotReady."""
        check_key(principal, name)
        return self.live_model(name)

    def live_model(self, name: str) -> ModelTable:
        """Raises ModelNotFound, or NotReady for one that an operator unloaded."""
        table = self.tables.model(name)
        if table.unloaded:
            raise NotReady(f"Model {name!r} was unloaded. POST /v2/repository/models/{name}/load brings it back.", 5.0)
        return table

    def version_for(self, name: str, version: str) -> tuple[ModelTable, Version]:
        """The version meant by a number or alias; without one the model's heaviest. Raises NotFound kinds."""
        table = self.tables.model(name)
        if version:
            pinned = table.routing.pins.get(version)
            if pinned is None:
                raise VersionNotFound(name, version, table.routing.known)
            return table, table.versions[pinned.version]
        if table.routing.weighted:
            return table, table.versions[heaviest(table)]
        if table.versions:
            return table, table.versions[max(table.versions)]
        raise VersionNotFound(name, "any", table.routing.known)

    def is_ready(self, name: str, version: str = "") -> bool:
        """Whether a version (without one: every version with traffic) can answer now. Raises NotFound kinds."""
        table, meant = self.version_for(name, version)
        if table.unloaded:
            return False
        if version:
            return self.dispatcher.is_ready(name, meant)
        numbers = {choice.version for choice in table.routing.weighted}
        return bool(numbers) and all(self.dispatcher.is_ready(name, table.versions[n]) for n in numbers)

    def check_ready(self) -> None:
        """Raise NotReady while a load balancer should send requests elsewhere.

        One model that answers is enough: one broken model must not take all others away.
        """
        if self.draining:
            raise NotReady("This gateway is shutting down.")
        models = self.tables.documents.models
        if models and not self.any_ready():
            raise NotReady(f"None of {len(models)} models is ready yet.")

    @property
    def ready(self) -> bool:
        try:
            self.check_ready()
        except NotReady:
            return False
        return True

    def any_ready(self) -> bool:
        """Whether some model can answer. Looks only at those that have a queue: few, however many are known."""
        models = self.tables.documents.models
        return any(name in models and models[name].versions and self.is_ready(name) for name in self.dispatcher.queues)


def heaviest(table: ModelTable) -> int:
    shares = [upper - lower for lower, upper in pairwise((0.0, *table.routing.bounds))]
    return table.routing.weighted[shares.index(max(shares))].version
