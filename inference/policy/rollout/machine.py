"""One look at a rollout: progress and facts in, progress out. No clock, no chance.

The rules, in order of weight:

1. Ending wins: an abort, then a verdict to roll back, then a canary that cannot stay up, then a deadline.
2. The canary's traffic rises only into what its step allows, only while it is ready, and never in a freeze.
3. Traffic goes only to a version that is ready, where one of the two is. So an ended rollout whose stable version has
   no ready replica keeps what is in force until it has one; a canary that loses its last one gives its traffic back.
4. A step is left by itself when its time is over, the evidence is in, and no gate and no freeze holds it.
5. Time counts only while somebody looks and the canary is ready. Between two looks at most LOOK_GAP_S passes,
   whatever the clock says: an hour that the clock jumps, or for which no controller lived, proves nothing about a
   canary. A clock that goes back costs the time since the last look, no more.

All that the next look needs is in `Progress`, which is written in one piece with the weights. So a crash between two
writes leaves a state that was reached by looking, and a successor goes on from it.
"""

from math import isfinite

from msgspec.structs import replace

from inference.policy.canary.verdict import Kind, explain
from inference.policy.rollout.facts import FINAL, STOPPED, Facts, is_ready, is_spent
from inference.policy.rollout.intents import answer, is_unanswered, obey
from inference.policy.rollout.steps import move, proceed
from inference.spec import IntentAction
from inference.status import Phase, Progress, Wait

LOOK_GAP_S = 5.0


def step_rollout(held: Progress, facts: Facts) -> Progress:
    """The progress after this look: at most one intent and one phase further. A final phase is never left."""
    if held.phase in FINAL:
        return leave_canary(obey(held, facts) or held, facts)
    progress = count(held, facts)
    ended = find_end(progress, facts)
    if ended is None:
        progress = limit_exposure(lose_canary(progress, facts), facts)
        if progress.losses > progress.plan.max_losses:
            times = "once" if progress.losses == 1 else f"{progress.losses} times"
            ended = Phase.ROLLED_BACK, f"The canary lost its last ready replica {times} under traffic."
    if ended is not None:
        phase, reason = ended
        if phase is Phase.ABORTED and facts.intent is not None:
            progress = answer(progress, facts.intent, "Done.")
        return leave_canary(replace(move(progress, phase, reason), waits=None), facts)
    return obey(progress, facts) or proceed(progress, facts)


def count(held: Progress, facts: Facts) -> Progress:
    """Bring clocks and counts up to now."""
    passed_s, seen_s = 0.0, held.seen_s
    if isfinite(facts.now_s):
        passed_s = min(max(facts.now_s - held.seen_s, 0.0), LOOK_GAP_S) if held.seen_s else 0.0
        seen_s = facts.now_s
    if held.phase is Phase.PENDING:
        return replace(held, seen_s=seen_s)
    ready = is_ready(held, facts)
    counts = not ready if held.phase is Phase.WARMING else ready and held.phase is not Phase.PAUSED
    return replace(
        held,
        seen_s=seen_s,
        active_s=held.active_s + passed_s,
        phase_s=held.phase_s + passed_s if counts else held.phase_s,
        exposed=max(held.exposed, facts.exposed),
        thresholds=held.thresholds or facts.thresholds,
    )


def find_end(progress: Progress, facts: Facts) -> tuple[Phase, str] | None:
    """In which final phase the rollout ends now and why, if it does."""
    plan, intent = progress.plan, facts.intent
    if intent is not None and intent.action is IntentAction.ABORT and is_unanswered(progress, intent):
        return Phase.ABORTED, f"Aborted by {intent.by}" + (f": {intent.reason}" if intent.reason else ".")
    if progress.phase is Phase.PENDING:
        return None
    if facts.verdict.kind is Kind.ROLL_BACK:
        return Phase.ROLLED_BACK, explain(facts.verdict)
    if progress.phase is Phase.WARMING and progress.phase_s > plan.warm_s:
        return Phase.ROLLED_BACK, f"The canary was not ready within {plan.warm_s:g} s."
    if progress.phase is not Phase.WATCHING and progress.active_s > plan.deadline_s:
        return Phase.ROLLED_BACK, f"Nothing was decided within {plan.deadline_s:g} s: inconclusive."
    return None


def can_leave(progress: Progress, facts: Facts) -> bool:
    """Whether stable can take the canary's traffic. Where neither is ready, stable is the better one to wait for."""
    return progress.plan.stable in facts.ready or not is_ready(progress, facts)


def leave_canary(progress: Progress, facts: Facts) -> Progress:
    """Once stopped, give stable all traffic, as soon as that costs no capacity."""
    if progress.phase not in STOPPED or not progress.percent:
        return progress
    if can_leave(progress, facts):
        return replace(progress, percent=0.0, waits=None)
    return progress if progress.waits is Wait.STABLE else replace(progress, waits=Wait.STABLE)


def lose_canary(progress: Progress, facts: Facts) -> Progress:
    """A canary under traffic that has no ready replica any more gives its traffic back to stable, if that is ready."""
    if not progress.percent or is_ready(progress, facts) or progress.plan.stable not in facts.ready:
        return progress
    lost = replace(progress, percent=0.0, losses=progress.losses + 1)
    if progress.phase is Phase.PAUSED:
        return replace(lost, interrupted=Phase.WARMING, phase_s=0.0)
    return move(lost, Phase.WARMING, "The canary lost its last ready replica.")


def limit_exposure(progress: Progress, facts: Facts) -> Progress:
    """Take the canary's traffic away once it answered as many requests as it may without evidence in its favour."""
    paused = progress.phase is Phase.PAUSED
    phase = progress.interrupted if paused else progress.phase
    if phase not in (Phase.BAKING, Phase.HOLDING) or not progress.percent:
        return progress
    if not is_spent(progress, facts) or not can_leave(progress, facts):
        return progress
    spent = replace(progress, percent=0.0)
    if paused:
        return replace(spent, interrupted=Phase.HOLDING)
    return move(replace(spent, waits=Wait.BUDGET), Phase.HOLDING, "The exposure budget is used; inconclusive so far.")
