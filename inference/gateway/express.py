"""The short way of requests that are like one before them: the same head, and a body with other numbers in it.

What such a request means, who may ask it, which versions may answer it and that they take such a tensor was worked out
with the earlier one. What is left: numbers to a tensor, a version by the weights, a place in the queue; and when its
rows come back, numbers to text. That takes half the time of the long way, which makes ten objects in forty calls.

Nothing is decided here that the long way would decide otherwise. Whatever is out of the ordinary, an error above all,
is ended by the `Flight` that the request would have been.
"""

from collections.abc import Sequence
from itertools import pairwise
from random import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from inference.errors import SwitchyardError
from inference.gateway.compression import MIN_BYTES
from inference.gateway.exchange import Request, Respond, Response
from inference.gateway.flight import Call, Flight, timeout_of
from inference.gateway.headers import answer_headers
from inference.gateway.tables import ModelTable, VersionPlan
from inference.gateway.work import UnitAnswer, Work
from inference.log import get_log
from inference.policy.batching import DEFAULT_LEVEL, level_of
from inference.policy.routing import choose_version
from inference.protocol.joined import Share
from inference.protocol.json_template import MOST_AROUND, Template, Unfit, around_numbers, learn, numbers_start
from inference.protocol.messages import InferRequest, InferResponse, Tensor
from inference.protocol.signature import check_inputs

if TYPE_CHECKING:
    from inference.gateway.infer import Target
    from inference.gateway.rest import Rest

log = get_log()

MOST_LANES = 4  # of one head


class Express:
    """The lanes of one head, by the text that bodies begin with."""

    def __init__(self, rest: "Rest", target: "Target"):
        self.rest = rest
        self.target = target
        self.lanes: dict[bytes, Lane] = {}
        self.refused: dict[bytes, ModelTable] = {}  # texts without a lane, for as long as the model stays as it is
        self.last = b""  # the text of the latest request that went the long way

    def begin(self, request: Request, respond: Respond) -> Work | None:
        """Take a request by a lane; None where it has to go the long way, and nothing has happened yet."""
        body = request.body
        if type(body) is not bytes:
            return None
        start = body.rfind(b"[")
        lane = self.lanes.get(body[:start]) if start <= MOST_AROUND else None
        return None if lane is None else lane.take(request, body, start, respond)

    def learn(self, request: Request, asked: InferRequest) -> None:
        """Look at a request that has begun the long way. It must come twice: a text with something new in each body,
        as an id, is not worth a lane."""
        body = request.body
        if type(body) is not bytes or not (start := numbers_start(body)):
            return
        text, table = body[:start], self.rest.dataplane.tables.models.get(asked.model)
        lane = self.lanes.get(text)
        if table is None or self.refused.get(text) is table or (lane is not None and lane.table is table):
            return
        if text != self.last:
            self.last = text
            return
        try:
            template = learn(body, start, asked)
            add(self.lanes, text, Lane(self.rest, self.target, table, template))
        except (SwitchyardError, Unfit):
            self.lanes.pop(text, None)
            add(self.refused, text, table)


def add(held: dict[bytes, Any], text: bytes, what: object) -> None:
    if len(held) >= MOST_LANES and text not in held:
        del held[next(iter(held))]
    held[text] = what


class Lane:
    """Requests that differ in their numbers alone."""

    def __init__(self, rest: "Rest", target: "Target", table: ModelTable, template: Template):
        """Raises SwitchyardError or Unfit where some version that may answer them cannot do so in one step."""
        self.rest = rest
        self.plane = rest.dataplane
        self.target = target
        self.call = call = target.call
        self.table = table
        self.model = table.spec.name
        self.template = template
        self.plans = plans_of(call, table)
        self.rows = max([self.rows_for(plan) for plan in self.plans.values()])
        asked, some = template.asked, next(iter(self.plans.values()))
        own_time = call.timeout_s is None and asked.timeout_s is None
        self.timeout_s = None if own_time else timeout_of(asked, call, some)
        priority = asked.priority or call.priority
        self.level = level_of(priority) if priority else DEFAULT_LEVEL
        self.named = b"x-request-id" in call.facts.headers
        self.frames: dict[int, Frame] = {}  # by version

    def rows_for(self, plan: VersionPlan) -> int:
        signature, queue = plan.signature, plan.steps[0].queue
        if self.table.unloaded or not plan.direct or len(plan.gives) != 1:
            raise Unfit(f"Version {plan.label} takes several steps, or none.")
        if any(spec.finite for spec in signature.inputs):
            raise Unfit("Each of its numbers has to be looked at.")
        rows = check_inputs([self.template.tensor], signature)
        if rows > queue.unit.batch.max_size:
            raise Unfit("It takes more than one batch.")
        return rows

    def take(self, request: Request, body: bytes, start: int, respond: Respond) -> Work | None:
        """Begin one; None where it has to go the long way, and nothing has happened yet."""
        plane, table = self.plane, self.table
        if plane.tables.models.get(self.model) is not table:
            return None
        tensor = self.template.read(body, start)
        if tensor is None:
            return None
        choice = choose_version(table.routing, self.call.facts, random())  # noqa: S311 -- a share of traffic
        plan = self.plans.get(choice.version)
        if plan is None:
            return None
        work = ExpressWork(self, request, respond, plan, choice.reason, tensor)
        queue = work.queue
        try:
            queue.check_admission(work.tensors, work.deadline_s, work.queued_s, work.level)
        except SwitchyardError:
            return None  # the long way says so
        plane.running += 1
        queue.line_up(work)
        return work

    def frame(self, plan: VersionPlan, output: Tensor) -> "Frame":
        """The text around an answer's numbers."""
        frame = self.frames.get(plan.version.number)
        if frame is None or frame.shape != output.shape:
            asked = self.template.asked
            before, after = around_numbers(InferResponse(asked.model, plan.label, asked.id, [output]))
            frame = self.frames[plan.version.number] = Frame(output.shape, before, after)
        return frame


class Frame(Struct, gc=False):
    """Of a version's latest answer."""

    shape: tuple[int, ...]
    before: bytes
    after: bytes


class ExpressWork(Work):
    """One of them, from the queue to its answer."""

    __slots__ = ("lane", "plan", "reason", "request", "respond")

    def __init__(self, lane: Lane, request: Request, respond: Respond, plan: VersionPlan, reason: str, tensor: Tensor):
        timeout_s = plan.timeout_s if lane.timeout_s is None else lane.timeout_s
        queue, deadline_s = plan.steps[0].queue, request.arrived_s + timeout_s
        super().__init__(queue, [tensor], lane.rows, deadline_s, monotonic(), lane.level, len(tensor.data))
        self.lane = lane
        self.request = request
        self.respond = respond
        self.plan = plan
        self.reason = reason

    def answer(self, tensors: Sequence[Tensor], compute_s: float, share_ns: int, tokens: int) -> None:
        lane, plan, request, output = self.lane, self.plan, self.request, tensors[0]
        if self.settled or not isinstance(output, Share):
            super().answer(tensors, compute_s, share_ns, tokens)
            return
        text, frame, headers = (
            output.joined.text(output.start, self.rows),
            lane.frame(plan, output),
            request.head.headers,
        )
        body = frame.before + text + frame.after
        if b"null" in text or (len(body) >= MIN_BYTES and b"accept-encoding" in headers):
            super().answer(tensors, compute_s, share_ns, tokens)
            return
        self.settled = True
        plane, ids = lane.plane, lane.rest.request_ids
        request_id = ids.of(headers) if lane.named else ids.new()
        plane.running -= 1
        queue_s, total_s = self.sent_s - self.queued_s, monotonic() - request.arrived_s
        plane.telemetry.answered(lane.model, plan.version.number, self.rows, total_s, queue_s, share_ns)
        told = answer_headers(plan, self.reason, queue_s, compute_s, total_s, request_id)
        try:
            self.respond(Response(200, body, headers=told))
        except Exception:  # stays with this client
            log.exception("answer_not_delivered", unit=self.queue.key)

    def tell(self, answer: UnitAnswer | None, error: BaseException | None) -> None:
        """The long way's end."""
        lane = self.lane
        asked = lane.template.request(self.tensors[0])
        done = lane.rest.teller(self.request, lane.target.codec, asked, self.respond)
        flight = Flight(lane.plane, asked, lane.call, self.request.arrived_s, done)
        flight.route(lane.model, self.plan, self.reason, self.rows)
        flight.land(answer, error)


def plans_of(call: Call, table: ModelTable) -> dict[int, VersionPlan]:
    """Of every version that chance may choose for such a call. Raises SwitchyardError where there is none."""
    ends = (0.0, *table.routing.bounds)
    chances = [(lower + upper) / 2 for lower, upper in pairwise(ends)] or [0.0]
    numbers = {choose_version(table.routing, call.facts, chance).version for chance in chances}
    return {number: table.plan(number) for number in numbers}
