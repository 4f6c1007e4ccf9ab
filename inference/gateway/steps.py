"""A request that takes several steps: through the units of a version one after another, or in parts, or both."""

from functools import partial

from inference.gateway.parts import submit_in_parts
from inference.gateway.tables import VersionPlan
from inference.gateway.work import UnitAnswer
from inference.protocol.messages import Tensor


async def run_steps(plan: VersionPlan, inputs: list[Tensor], rows: int, deadline_s: float, priority: int) -> UnitAnswer:
    """The tensors at hand after the last unit, and the sum of what the units took."""
    total = UnitAnswer([], 0.0, 0.0, 0)
    at_hand = {tensor.name: tensor for tensor in inputs}
    for step in plan.steps:
        taken = [at_hand[name] for name in step.takes]
        fits = rows <= step.queue.unit.batch.max_size
        submit = step.queue.submit if fits else partial(submit_in_parts, step.queue)
        answer = await submit(taken, rows, deadline_s, priority)
        at_hand.update((tensor.name, tensor) for tensor in answer.tensors)
        total.queue_s += answer.queue_s
        total.compute_s += answer.compute_s
        total.compute_share_ns += answer.compute_share_ns
        total.tokens += answer.tokens
    total.tensors = list(at_hand.values())
    return total
