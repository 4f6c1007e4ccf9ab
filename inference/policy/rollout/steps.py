"""The way on: what a phase does by itself, and how a step is entered. Only here does a canary's traffic rise."""

from msgspec.structs import replace

from inference.policy.rollout.facts import Facts, is_proven, is_ready, is_spent
from inference.policy.rollout.plan import WHOLE, ends_by_hand, list_rungs, watch_time
from inference.status import Phase, Progress, Wait


def proceed(progress: Progress, facts: Facts) -> Progress:
    """One move, or the word for what it waits for."""
    match progress.phase:
        case Phase.PENDING:
            obstacle = find_obstacle_to_run(progress, facts, runner="")
            return wait(progress, obstacle if obstacle in (Wait.PLAN, Wait.APPROVAL) else Wait.RUN)
        case Phase.WARMING:
            return enter_step(progress, progress.step, facts)
        case Phase.BAKING | Phase.HOLDING:
            return bake(progress, facts)
        case Phase.PAUSED:
            return wait(progress, Wait.RESUME)
        case Phase.PROMOTING:
            return promote(progress, facts)
    return watch(progress)


def find_obstacle_to_run(progress: Progress, facts: Facts, runner: str) -> Wait | None:
    """What stands before a start. The one who runs it does not count among those who agreed."""
    plan = progress.plan
    if facts.misfit:
        return Wait.PLAN
    if len(set(plan.approved_by) - {runner}) < plan.approvals:
        return Wait.APPROVAL
    if plan.stable not in facts.ready:
        return Wait.STABLE
    return Wait.FREEZE if facts.frozen_until_s is not None else None


def bake(progress: Progress, facts: Facts) -> Progress:
    """At a step: stay, or go to the next. A step of 0 % shows the canary to nobody, so it only takes its time."""
    step = list_rungs(progress.plan)[progress.step]
    if not progress.percent and is_spent(progress, facts):
        return hold(progress, Wait.BUDGET)
    if progress.phase is Phase.BAKING and progress.phase_s < step.bake_s:
        return wait(progress, Wait.TIME)
    if step.manual:
        return hold(progress, Wait.GATE)
    if step.percent and progress.plan.guards and not is_proven(progress, facts):
        return hold(progress, Wait.EVIDENCE)
    return enter_step(progress, progress.step + 1, facts)


def enter_step(progress: Progress, step: int, facts: Facts) -> Progress:
    """Give the canary the traffic of this step; past the last one, begin the promotion. Or say what is in the way."""
    rungs = list_rungs(progress.plan)
    if not is_ready(progress, facts):
        return hold(progress, Wait.CAPACITY)
    if step >= len(rungs):
        return move(replace(progress, step=len(rungs)), Phase.PROMOTING, "All steps are passed.")
    percent = rungs[step].percent
    if percent and is_spent(progress, facts):
        return move(replace(progress, step=step, waits=Wait.BUDGET), Phase.HOLDING, "The exposure budget is used.")
    if facts.frozen_until_s is not None:
        return hold(progress, Wait.FREEZE)
    entered = replace(
        progress, step=step, percent=percent, waits=Wait.TIME, thresholds=facts.thresholds or progress.thresholds
    )
    return move(entered, Phase.BAKING, f"The canary has {percent:g} %.")


def promote(progress: Progress, facts: Facts) -> Progress:
    """Give the canary everything once it can carry it."""
    if not is_ready(progress, facts) or progress.plan.canary not in facts.able:
        return wait(progress, Wait.CAPACITY)
    if facts.frozen_until_s is not None:
        return wait(progress, Wait.FREEZE)
    return move(replace(progress, percent=WHOLE, waits=Wait.TIME), Phase.WATCHING, "The canary has all traffic.")


def watch(progress: Progress) -> Progress:
    if progress.phase_s < watch_time(progress.plan):
        return wait(progress, Wait.TIME)
    if ends_by_hand(progress.plan):
        return wait(progress, Wait.GATE)
    return finish(progress, "The watch is over.")


def finish(progress: Progress, reason: str) -> Progress:
    return replace(move(progress, Phase.PROMOTED, reason), waits=None)


def move(progress: Progress, phase: Phase, reason: str) -> Progress:
    return replace(progress, phase=phase, phase_s=0.0, interrupted=None, reason=reason)


def wait(progress: Progress, waits: Wait) -> Progress:
    return progress if progress.waits is waits else replace(progress, waits=waits)


def hold(progress: Progress, waits: Wait) -> Progress:
    """Wait; at a step whose time is over that is a phase of its own."""
    if progress.phase is Phase.BAKING:
        progress = move(progress, Phase.HOLDING, "The step's time is over.")
    return wait(progress, waits)
