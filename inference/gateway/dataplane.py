"""Inference itself, free of HTTP: every edge calls `infer`."""

import asyncio
import random
from functools import partial
from itertools import pairwise
from time import monotonic

from msgspec import Struct

from inference.errors import NotReady, SwitchyardError, VersionNotFound
from inference.gateway.errors import CANCELLED, Internal
from inference.gateway.keys import require_model, require_scope
from inference.gateway.parts import submit_in_parts
from inference.gateway.tables import ModelTable, Tables, VersionPlan
from inference.gateway.telemetry import Telemetry
from inference.log import get_log
from inference.policy.routing import Facts, choose_version
from inference.protocol.classification import classify
from inference.protocol.messages import InferRequest, InferResponse, Tensor, WantedOutput
from inference.protocol.signature import check_inputs, check_outputs
from inference.spec import ApiKey, Version

log = get_log()

MAX_TIMEOUT_S = 3600.0


class Call(Struct):
    """What an edge knows of a request besides the tensors."""

    principal: ApiKey
    facts: Facts
    arrived_s: float  # monotonic
    timeout_s: float | None = None
    priority: int = 0  # 1 first; 0: the default


class Answer(Struct, gc=False):
    response: InferResponse
    plan: VersionPlan
    reason: str  # why this version
    queue_s: float
    compute_s: float
    total_s: float
    tokens: int = 0


class Outcome(Struct, gc=False):
    """What is known of a request when it ends, well or not."""

    model: str = ""  # stays empty for one that does not exist: clients must not make series
    version: int = 0
    rows: int = 0
    queue_s: float = 0.0
    compute_s: float = 0.0
    compute_ns: int = 0
    tokens: int = 0


class Dataplane:
    def __init__(self, tables: Tables, telemetry: Telemetry):
        self.tables = tables
        self.dispatcher = tables.dispatcher
        self.telemetry = telemetry
        self.running = 0
        self.draining = False

    async def infer(self, request: InferRequest, call: Call) -> Answer:
        """Choose a version, take the request through its units, answer. Raises SwitchyardError.

        Cancelling it drops the work, wherever it is; what shares a batch with it goes on.
        """
        outcome = Outcome()
        self.running += 1
        try:
            table = self.model_for(request.model, call.principal)
            outcome.model = table.spec.name
            choice = choose_version(table.routing, call.facts, random.random())  # noqa: S311 -- a share of traffic
            outcome.version = choice.version
            plan = table.plan(choice.version)
            outcome.rows = check_inputs(request.inputs, plan.signature)
            if request.outputs:
                check_outputs(request.outputs, plan.signature)
            deadline_s = call.arrived_s + self.timeout_of(request, call, plan)
            priority = request.priority or call.priority
            tensors = await self.run_units(plan, request.inputs, outcome, deadline_s, priority)
            outputs = select(tensors, request, plan)
            if request.outputs:
                outputs = classify_wanted(outputs, request.outputs, plan)
        except SwitchyardError as error:
            self.telemetry.failed(outcome.model, outcome.version, error.code, monotonic() - call.arrived_s)
            raise
        except asyncio.CancelledError:
            self.telemetry.failed(outcome.model, outcome.version, CANCELLED, monotonic() - call.arrived_s)
            raise
        except Exception as error:
            log.exception("inference_broke", model=outcome.model, version=outcome.version)
            self.telemetry.failed(outcome.model, outcome.version, Internal.code, monotonic() - call.arrived_s)
            raise Internal from error
        finally:
            self.running -= 1
        total_s = monotonic() - call.arrived_s
        self.telemetry.answered(
            outcome.model, outcome.version, outcome.rows, total_s, outcome.queue_s, outcome.compute_ns
        )
        response = InferResponse(request.model, plan.label, request.id, outputs)
        return Answer(response, plan, choice.reason, outcome.queue_s, outcome.compute_s, total_s, outcome.tokens)

    def refused(self, model: str, error: SwitchyardError) -> None:
        """Count a request that an edge could not even read."""
        self.telemetry.failed(model if model in self.tables.documents.models else "", 0, error.code, 0.0)

    async def run_units(
        self, plan: VersionPlan, inputs: list[Tensor], outcome: Outcome, deadline_s: float, priority: int
    ) -> list[Tensor]:
        """The tensors at hand after the last unit."""
        rows = outcome.rows
        if plan.direct:
            queue = plan.steps[0].queue
            if rows <= queue.unit.batch.max_size:
                answer = await queue.submit(inputs, rows, deadline_s, priority)
            else:
                answer = await submit_in_parts(queue, inputs, rows, deadline_s, priority)
            outcome.queue_s = answer.queue_s
            outcome.compute_s = answer.compute_s
            outcome.compute_ns = answer.compute_share_ns
            outcome.tokens = answer.tokens
            return answer.tensors
        at_hand = {tensor.name: tensor for tensor in inputs}
        for step in plan.steps:
            taken = [at_hand[name] for name in step.takes]
            fits = rows <= step.queue.unit.batch.max_size
            submit = step.queue.submit if fits else partial(submit_in_parts, step.queue)
            answer = await submit(taken, rows, deadline_s, priority)
            at_hand.update((tensor.name, tensor) for tensor in answer.tensors)
            outcome.queue_s += answer.queue_s
            outcome.compute_s += answer.compute_s
            outcome.compute_ns += answer.compute_share_ns
            outcome.tokens += answer.tokens
        return list(at_hand.values())

    def timeout_of(self, request: InferRequest, call: Call, plan: VersionPlan) -> float:
        """The shortest time anyone named: header, parameter; else the units' own."""
        if call.timeout_s is None and request.timeout_s is None:
            return plan.timeout_s
        return min(seconds for seconds in (call.timeout_s, request.timeout_s, MAX_TIMEOUT_S) if seconds is not None)

    def model_for(self, name: str, principal: ApiKey) -> ModelTable:
        """The model, where this key may call it. Raises Refused kinds or ModelNotFound."""
        require_scope(principal, "infer")
        require_model(principal, name)
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


def select(tensors: list[Tensor], request: InferRequest, plan: VersionPlan) -> list[Tensor]:
    """The outputs that were asked for, in that order; without a wish all, in the signature's."""
    names = [output.name for output in request.outputs] if request.outputs else plan.gives
    if len(tensors) == len(names) and all(tensor.name == name for tensor, name in zip(tensors, names, strict=True)):
        return tensors
    by_name = {tensor.name: tensor for tensor in tensors}
    return [by_name[name] for name in names]


def classify_wanted(outputs: list[Tensor], wanted: list[WantedOutput], plan: VersionPlan) -> list[Tensor]:
    """The outputs, those asked for as classes as such. `outputs` are in the order of `wanted`."""
    if not any(output.classification for output in wanted):
        return outputs
    return [
        classify(tensor, output.classification, plan.labels.get(tensor.name, ())) if output.classification else tensor
        for tensor, output in zip(outputs, wanted, strict=True)
    ]
