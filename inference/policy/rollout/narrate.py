"""What changed between two documents of a rollout, in words. The log of decisions is made of these lines."""

from msgspec import Struct

from inference.policy.rollout.facts import STOPPED
from inference.status import Phase, Progress, Wait

WANTED = {
    Wait.RUN: "somebody to run it",
    Wait.APPROVAL: "approval",
    Wait.PLAN: "a plan that can be run",
    Wait.FREEZE: "the end of a freeze",
    Wait.CAPACITY: "ready replicas of the canary",
    Wait.TIME: "its time to pass",
    Wait.EVIDENCE: "evidence",
    Wait.GATE: "somebody to advance it",
    Wait.BUDGET: "somebody to advance or abort it: the exposure budget is used",
    Wait.RESUME: "somebody to resume it",
    Wait.STABLE: "a ready replica of the stable version",
}
LEVELS = {Phase.ROLLED_BACK: "bad", Phase.ABORTED: "warn", Phase.PROMOTED: "ok"}


class Line(Struct, frozen=True):
    kind: str  # rollout.<phase> | rollout.step | rollout.weight | rollout.intent | rollout.waits
    message: str
    level: str = "info"  # as in status.Event


def narrate(before: Progress | None, after: Progress | None) -> list[Line]:
    """The lines for a log, the weightier first. Empty where only time passed.

    A controller that dies after it wrote the document and before it told of it leaves a line out: the documents are the
    truth, and whoever has both can make the line again.
    """
    if after is None:
        return []
    if before is None or before.plan.id != after.plan.id:
        before = Progress(plan=after.plan)
    lines = []
    if after.phase is not before.phase:
        message = after.reason or f"The rollout is {after.phase.value.replace('_', ' ')}."
        lines.append(Line(f"rollout.{after.phase.value}", message, LEVELS.get(after.phase, "info")))
    elif after.step != before.step:
        lines.append(Line("rollout.step", after.reason))
    if after.percent != before.percent:
        level = "bad" if after.phase in STOPPED else "info"
        message = f"Version {after.plan.canary} has {after.percent:g} % of the traffic, before {before.percent:g} %."
        lines.append(Line("rollout.weight", message, level))
    if (after.intent_epoch, after.intent) != (before.intent_epoch, before.intent) and after.answer:
        lines.append(Line("rollout.intent", after.answer))
    if after.waits is not before.waits and after.waits is not None:
        lines.append(Line("rollout.waits", f"The rollout waits for {WANTED[after.waits]}."))
    return lines
