"""One request on its way through the data plane: version, units, answer, and what is counted of it.

Most requests go to one unit, in one batch: those get their answer by a call from the batch's, with no coroutine, task
or future of their own. What takes several steps is a coroutine.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from inference.errors import SwitchyardError
from inference.gateway.eager import Eager
from inference.gateway.errors import CANCELLED, Internal
from inference.gateway.keys import check_key
from inference.gateway.steps import run_steps
from inference.gateway.tables import VersionPlan
from inference.gateway.work import UnitAnswer
from inference.log import get_log
from inference.policy.routing import Facts, choose_version
from inference.protocol.classification import classify
from inference.protocol.messages import InferRequest, InferResponse, Tensor, WantedOutput
from inference.protocol.signature import check_inputs, check_outputs
from inference.spec import ApiKey

if TYPE_CHECKING:
    from inference.gateway.dataplane import Dataplane

log = get_log()

MAX_TIMEOUT_S = 3600.0


class Call(Struct):
    """What an edge knows of a request besides the tensors; the same object for all that begin with the same head."""

    principal: ApiKey
    facts: Facts
    timeout_s: float | None = None
    priority: int = 0  # 1 first; 0: the default
    cleared: str = ""  # the model that the key was found good for


class Answer(Struct, gc=False):
    response: InferResponse
    plan: VersionPlan
    reason: str  # why this version
    queue_s: float
    compute_s: float
    total_s: float
    tokens: int = 0


Done = Callable[[Answer | None, BaseException | None], None]


class Flight:
    """`done(answer, None)` or `done(None, error)` is called exactly once, perhaps before `start` returns.

    The error is a SwitchyardError, or CancelledError after `cancel`.
    """

    __slots__ = (
        "arrived_s",
        "asked",
        "call",
        "done",
        "ended",
        "model",
        "plan",
        "plane",
        "reason",
        "rows",
        "running",
        "version",
    )

    def __init__(self, plane: "Dataplane", asked: InferRequest, call: Call, arrived_s: float, done: Done):
        self.plane = plane
        self.asked = asked
        self.call = call
        self.arrived_s = arrived_s
        self.done = done
        self.ended = False
        self.model = ""  # stays empty for one that does not exist: clients must not make series
        self.version = 0
        self.running: Any = None  # what is cancelled when the client hangs up

    def start(self) -> None:
        self.plane.running += 1
        try:
            self.take_off()
        except SwitchyardError as error:
            self.fail(error)
        except Exception as error:
            self.fail(error)

    def take_off(self) -> None:
        """Choose a version and hand the tensors to its first unit. Raises SwitchyardError."""
        asked, call = self.asked, self.call
        if call.cleared != asked.model:  # once is enough: neither the key nor the name changes
            check_key(call.principal, asked.model)
            call.cleared = asked.model
        table = self.plane.live_model(asked.model)
        self.model = table.spec.name
        choice = choose_version(table.routing, call.facts, random())  # noqa: S311 -- a share of traffic
        self.version, self.reason = choice.version, choice.reason
        self.plan = plan = table.plan(choice.version)
        self.rows = rows = check_inputs(asked.inputs, plan.signature)
        if asked.outputs:
            check_outputs(asked.outputs, plan.signature)
        deadline_s = self.arrived_s + timeout_of(asked, call, plan)
        priority = asked.priority or call.priority
        queue = plan.steps[0].queue
        if plan.direct and rows <= queue.unit.batch.max_size:
            self.running = queue.enqueue(asked.inputs, rows, deadline_s, priority, self.land)
        else:
            self.running = Eager(run_steps(plan, asked.inputs, rows, deadline_s, priority), self.land)
            if self.ended:  # at once: see `fail`
                self.running = None

    def route(self, model: str, plan: VersionPlan, reason: str, rows: int) -> None:
        """What `take_off` would have found, for one that is under way already."""
        self.model, self.version, self.plan, self.reason, self.rows = model, plan.version.number, plan, reason, rows

    def land(self, answer: UnitAnswer | None, error: BaseException | None) -> None:
        """What the units made of it."""
        if answer is None:
            self.fail(error)
            return
        asked, plan = self.asked, self.plan
        try:
            outputs = select(answer.tensors, asked, plan)
        except Exception as broken:
            self.fail(broken)
            return
        self.ended = True
        self.running = None  # it knows us: left to the collector, bodies would outlive their requests
        self.plane.running -= 1
        total_s = monotonic() - self.arrived_s
        self.plane.telemetry.answered(
            self.model, self.version, self.rows, total_s, answer.queue_s, answer.compute_share_ns
        )
        response = InferResponse(asked.model, plan.label, asked.id, outputs)
        self.done(Answer(response, plan, self.reason, answer.queue_s, answer.compute_s, total_s, answer.tokens), None)

    def fail(self, error: BaseException | None) -> None:
        if self.ended:
            return
        self.ended = True
        self.running = None  # it knows us: left to the collector, bodies would outlive their requests
        self.plane.running -= 1
        if isinstance(error, SwitchyardError):
            code = error.code
        elif isinstance(error, asyncio.CancelledError):
            code = CANCELLED
        else:
            log.error("inference_broke", model=self.model, version=self.version, exc_info=error)
            error = Internal()
            code = Internal.code
        self.plane.telemetry.failed(self.model, self.version, code, monotonic() - self.arrived_s)
        self.done(None, error)

    def cancel(self) -> None:
        """The client hung up: drop the work, wherever it is; what shares a batch with it goes on."""
        if not self.ended and self.running is not None:
            self.running.cancel()


def timeout_of(request: InferRequest, call: Call, plan: VersionPlan) -> float:
    """The shortest time anyone named: header, parameter; else the units' own."""
    if call.timeout_s is None and request.timeout_s is None:
        return plan.timeout_s
    return min(seconds for seconds in (call.timeout_s, request.timeout_s, MAX_TIMEOUT_S) if seconds is not None)


def select(tensors: Sequence[Tensor], request: InferRequest, plan: VersionPlan) -> Sequence[Tensor]:
    """The outputs that were asked for, in that order; without a wish all, in the signature's."""
    if request.outputs:
        by_name = {tensor.name: tensor for tensor in tensors}
        return classify_wanted([by_name[output.name] for output in request.outputs], request.outputs, plan)
    names = plan.gives
    if len(names) == len(tensors) == 1:
        return tensors
    if len(tensors) == len(names) and all(tensor.name == name for tensor, name in zip(tensors, names, strict=True)):
        return tensors
    by_name = {tensor.name: tensor for tensor in tensors}
    return [by_name[name] for name in names]


def classify_wanted(outputs: Sequence[Tensor], wanted: list[WantedOutput], plan: VersionPlan) -> Sequence[Tensor]:
    """The outputs, those asked for as classes as such. `outputs` are in the order of `wanted`."""
    if not any(output.classification for output in wanted):
        return outputs
    return [
        classify(tensor, output.classification, plan.labels.get(tensor.name, ())) if output.classification else tensor
        for tensor, output in zip(outputs, wanted, strict=True)
    ]
