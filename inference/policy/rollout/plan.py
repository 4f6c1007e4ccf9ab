"""What a rollout plan must be, and its ladder: the steps at which the canary is judged.

A step of 100 % leaves no stable traffic to compare with. So it is no rung of the ladder but the promotion itself: it
may only come last, and its bake time is the least time of the watch that follows.
"""

from itertools import pairwise
from math import inf

from inference.errors import BadDocument
from inference.spec import ModelSpec, RolloutPlan, Step

MAX_STEPS = 50
WHOLE = 100.0  # percent


def list_rungs(plan: RolloutPlan) -> tuple[Step, ...]:
    """The steps at which stable still has traffic. Empty for a switch at once."""
    return tuple(step for step in plan.steps if step.percent < WHOLE)


def watch_time(plan: RolloutPlan) -> float:
    """Seconds for which stable is kept ready after the promotion."""
    return max([plan.watch_s, *(step.bake_s for step in plan.steps if step.percent >= WHOLE)])


def ends_by_hand(plan: RolloutPlan) -> bool:
    """Whether the watch ends only when somebody advances it."""
    return any(step.manual for step in plan.steps if step.percent >= WHOLE)


def find_fault(plan: RolloutPlan) -> str:
    """Why the plan cannot be run, or an empty string."""
    percents = [step.percent for step in plan.steps]
    if not plan.id:
        return "The plan has no id. Give it one of its own: by the id a stopped rollout is known for ever."
    if not percents:
        return (
            "The plan has no steps, so nothing would be judged. Give it steps such as 5, 25 and 50 percent, "
            "or one of 100 for a switch at once."
        )
    if len(percents) > MAX_STEPS:
        return f"The plan has {len(percents)} steps; at most {MAX_STEPS} are allowed. Leave some out."
    if not all(0 <= step.percent <= WHOLE and 0 <= step.bake_s < inf for step in plan.steps):
        return "A step has a percent outside 0 to 100, or a time that is no number of seconds. Correct it."
    if not all(low < high for low, high in pairwise(percents)):
        listed = ", ".join(f"{percent:g}" for percent in percents)
        return f"The steps' percents must rise; they are {listed}. Put them in order, each once."
    if plan.stable == plan.canary:
        return f"Stable and canary are both version {plan.stable}. Name two versions."
    return ""


def find_misfit(plan: RolloutPlan, model: ModelSpec) -> str:
    """Why the plan cannot be run on this model as it is, or an empty string."""
    live = {version.number for version in model.versions}
    for number in (plan.stable, plan.canary):
        if number not in live:
            return f"Version {number} is not live. Load it, or plan with another."
    if not any(weight.percent > 0 for weight in model.traffic.weights):
        return f"No version has traffic, so there is nothing to move. Give it to version {plan.stable} first."
    others = {weight.version for weight in model.traffic.weights if weight.percent > 0} - {plan.stable}
    if others:
        listed = ", ".join(str(number) for number in sorted(others))
        return (
            f"Version {listed} has traffic. A rollout starts with all of it on stable: give it to {plan.stable} first."
        )
    return ""


def check_plan(plan: RolloutPlan, model: ModelSpec) -> None:
    """Raise BadDocument for a plan that could not be run on this model."""
    fault = find_fault(plan) or find_misfit(plan, model)
    if fault:
        raise BadDocument(fault)
