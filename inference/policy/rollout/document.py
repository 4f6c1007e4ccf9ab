"""The effective document of a model that has, or had, a rollout: weights and progress, written in one piece.

Without a plan the spec's own traffic is in force, and as long as a plan waits to be run. While it runs, stable and
canary have all traffic. Once stopped, the spec's traffic is in force again, less the canary. Once promoted, the canary
stands in for stable, until whoever owns the spec has written that into it and taken the plan out.

A plan that leaves the spec, or gives way to another, ends: promoted if it was, or was only watched still; else stopped.
Ids of stopped rollouts are kept, so that none starts again when an old spec comes back.
"""

from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from inference.policy.effective import choose_weights
from inference.policy.rollout.facts import FINAL, STOPPED, Facts
from inference.policy.rollout.machine import step_rollout
from inference.policy.rollout.plan import WHOLE, find_fault, find_misfit
from inference.spec import ModelSpec, Weight
from inference.status import Effective, Phase, Progress

MAX_STOPPED = 32  # ids kept
CLOCK_S = 15.0  # of observed time that a successor may have to look at again

UNFOLDED = frozenset({Phase.PROMOTED, Phase.WATCHING})


class Held(Struct, frozen=True):
    """What the caller keeps from look to look: progress with its clocks, and the document it was last written in."""

    progress: Progress
    document: Effective


def decide_rollout(
    model: ModelSpec, current: Effective | None, held: Held | None, facts: Facts, fence: int
) -> tuple[Effective, Held | None]:
    """The document to be in force, `current` itself where there is no news, and what to hand in at the next look.

    `held` may be None at any time, as after a crash: at most CLOCK_S of observed time are then looked at again. It is
    not used where `current` is another document than the one it came with, for then another controller has written.
    """
    before = current.progress if current is not None else None
    if held is not None and held.document is current:
        before = held.progress
    begun, stopped = follow_plan(model, before, current.stopped if current is not None else ())
    progress = begun
    if begun is not None and not model.deleted:
        if begun.phase is Phase.PENDING:
            facts = replace(facts, misfit=find_fault(begun.plan) or find_misfit(begun.plan, model))
        progress = step_rollout(begun, facts)
    fresh = Effective(
        name=model.name,
        epoch=model.epoch,
        generation=model.generation,
        fence=fence,
        revision=current.revision + 1 if current is not None and current.fence == fence else 1,
        weights=weigh(model, current, progress, facts.ready),
        salt=progress.plan.id if progress is not None and is_dividing(progress) else model.traffic.salt,
        progress=progress,
        stopped=remember(stopped, progress),
    )
    document = fresh if current is None or current.fence != fence or is_news(current, fresh) else current
    return document, Held(progress, document) if progress is not None else None


def follow_plan(
    model: ModelSpec, progress: Progress | None, stopped: tuple[str, ...]
) -> tuple[Progress | None, tuple[str, ...]]:
    """The progress to go on with, and the ids of those that were stopped."""
    plan = None if model.deleted else model.rollout
    if progress is not None and plan is not None and plan.id == progress.plan.id:
        # Approvals come, and faults are mended, until it is run.
        return (replace(progress, plan=plan) if progress.phase is Phase.PENDING else progress), stopped
    if progress is not None and progress.phase not in UNFOLDED | {Phase.PENDING}:
        stopped = append(stopped, progress.plan.id)
    if plan is None:
        return None, stopped
    if plan.id in stopped:
        return Progress(plan=plan, phase=Phase.ABORTED, reason="It was stopped before. Start another id."), stopped
    return Progress(plan=plan, intent_epoch=model.epoch), stopped


def remember(stopped: tuple[str, ...], progress: Progress | None) -> tuple[str, ...]:
    if progress is not None and progress.phase in STOPPED:
        return append(stopped, progress.plan.id)
    return stopped


def append(stopped: tuple[str, ...], id: str) -> tuple[str, ...]:
    return stopped if id in stopped else (*stopped, id)[-MAX_STOPPED:]


def is_dividing(progress: Progress) -> bool:
    """Whether the rollout's own weights are in force, and its own salt: a key's place in it owes nothing to others."""
    return progress.phase not in FINAL | {Phase.PENDING} or (progress.phase in STOPPED and progress.percent > 0)


def weigh(
    model: ModelSpec, current: Effective | None, progress: Progress | None, ready: Collection[int]
) -> tuple[Weight, ...]:
    """The weights in force. A rollout's were decided by the machine; others wait until all they name is ready."""
    if progress is None or progress.phase is Phase.PENDING or model.deleted:
        return choose_weights(model, current, ready)
    plan = progress.plan
    if progress.phase is Phase.PROMOTED:
        return choose_weights(exchange(model, plan.stable, plan.canary), current, ready)
    if progress.phase in STOPPED and not progress.percent:
        kept = without(current.weights, plan.canary) if current is not None else ()
        return choose_weights(
            exchange(model, plan.canary, plan.stable), replace(current, weights=kept) if current else None, ready
        )
    shares = (
        Weight(version=plan.canary, percent=progress.percent),
        Weight(version=plan.stable, percent=WHOLE - progress.percent),
    )
    return tuple(share for share in shares if share.percent > 0)


def exchange(model: ModelSpec, one: int, other: int) -> ModelSpec:
    """The model with the traffic of version `one` given to version `other`."""
    percents: dict[int, float] = {}
    for weight in model.traffic.weights:
        number = other if weight.version == one else weight.version
        percents[number] = percents.get(number, 0.0) + weight.percent
    weights = tuple(Weight(version=number, percent=min(percent, WHOLE)) for number, percent in percents.items())
    return replace(model, traffic=replace(model.traffic, weights=weights))


def without(weights: tuple[Weight, ...], version: int) -> tuple[Weight, ...]:
    """The weights of the others, brought up to 100 %."""
    others = [weight for weight in weights if weight.version != version and weight.percent > 0]
    whole = sum(weight.percent for weight in others)
    return tuple(replace(weight, percent=min(WHOLE * weight.percent / whole, WHOLE)) for weight in others)


def is_news(current: Effective, fresh: Effective) -> bool:
    """Whether a document says more than the one in force: anything but the time, or much of that."""
    ours, theirs = current.progress, fresh.progress
    if ours is not None and theirs is not None:
        if max(theirs.phase_s - ours.phase_s, theirs.active_s - ours.active_s) >= CLOCK_S:
            return True
        # What the canary answered so far is written with the time: a budget is enforced on what is counted now.
        theirs = replace(theirs, phase_s=ours.phase_s, active_s=ours.active_s, seen_s=ours.seen_s, exposed=ours.exposed)
    return replace(fresh, progress=theirs, revision=current.revision) != current


def list_needed(progress: Progress) -> tuple[int, ...]:
    """Versions to be kept loaded for the rollout's sake, whatever the traffic is: nothing has to load to go back."""
    plan = progress.plan
    if progress.phase is Phase.PENDING:
        return (plan.stable,)
    if progress.phase is Phase.PROMOTED:
        return (plan.canary,)
    return (plan.stable,) if progress.phase in STOPPED and not progress.percent else (plan.stable, plan.canary)


def find_barred(progress: Progress | None) -> int | None:
    """The version that no rule and no alias may lead to any more: the canary of a stopped rollout."""
    return progress.plan.canary if progress is not None and progress.phase in STOPPED else None
