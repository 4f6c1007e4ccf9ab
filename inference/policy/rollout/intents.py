"""What an operator's numbered request does. Each is answered once; the number answered is written with its effect.

A rollout may have moved while an intent was on its way: where it names the step its author saw, it is refused.
Intents of another epoch come from a database that was restored. The first of them may be one obeyed long ago, so only
what lowers the risk is done of it: pause and abort. Its author may ask again.

A newer intent hides an older one that nobody has seen. So whoever writes intents writes none after an abort.
"""

from msgspec.structs import replace

from inference.policy.rollout.facts import FINAL, Facts, is_ready, is_spent
from inference.policy.rollout.plan import list_rungs
from inference.policy.rollout.steps import enter_step, find_obstacle_to_run, finish, hold, move, wait
from inference.spec import Intent, IntentAction
from inference.status import Phase, Progress, Wait

AT_STEP = frozenset({Phase.BAKING, Phase.HOLDING})
PAUSABLE = AT_STEP | {Phase.WARMING, Phase.PROMOTING}
PROMOTABLE = PAUSABLE | {Phase.PAUSED}


def is_unanswered(progress: Progress, intent: Intent | None) -> bool:
    """Whether this intent is about this rollout and newer than the last one answered."""
    if intent is None or intent.rollout != progress.plan.id:
        return False
    return intent.epoch != progress.intent_epoch or intent.generation > progress.intent


def obey(progress: Progress, facts: Facts) -> Progress | None:
    """The progress after the intent; None where there is none to answer. Aborts were seen to before."""
    intent = facts.intent
    if intent is None or not is_unanswered(progress, intent):
        return None
    if progress.phase in FINAL:
        over = progress.phase.value.replace("_", " ")
        return answer(progress, intent, f"Refused: the rollout is over, {over}. Start another, with an id of its own.")
    if intent.epoch != progress.intent_epoch and intent.action is not IntentAction.PAUSE:
        return answer(progress, intent, "Not done: it was asked of a database that was restored. Ask again.")
    match intent.action:
        case IntentAction.RUN if progress.phase is Phase.PENDING:
            return run(progress, intent, facts)
        case IntentAction.RUN | IntentAction.RESUME:
            return resume(progress, intent)
        case IntentAction.PAUSE:
            return pause(progress, intent)
    refusal = find_refusal(progress, intent, facts)
    if refusal:
        return answer(progress, intent, f"Refused: {refusal}")
    reason = f"Asked by {intent.by}: {intent.reason}" if intent.reason else f"Asked by {intent.by}."
    progress = answer(progress, intent, "Done.")
    if progress.phase is Phase.WATCHING:
        return finish(progress, reason)
    if intent.action is IntentAction.PROMOTE:
        promoting = replace(progress, step=len(list_rungs(progress.plan)), waits=Wait.CAPACITY)
        return move(promoting, Phase.PROMOTING, reason)
    # A budget that was gone past once stays used: it is waived for the steps to come.
    return enter_step(replace(progress, waived=progress.waived or is_spent(progress, facts)), progress.step + 1, facts)


def run(progress: Progress, intent: Intent, facts: Facts) -> Progress:
    """Start, or wait with the request unanswered until nothing stands before it."""
    obstacle = find_obstacle_to_run(progress, facts, runner=intent.by)
    if obstacle is not None:
        return wait(progress, obstacle)
    return hold(move(answer(progress, intent, "Done."), Phase.WARMING, f"Run by {intent.by}."), Wait.CAPACITY)


def pause(progress: Progress, intent: Intent) -> Progress:
    """Stay at the present traffic. What interrupts it stays known, its time too; the guards go on."""
    if progress.phase not in PAUSABLE:
        return answer(progress, intent, f"Refused: a rollout that is {progress.phase.value} cannot be paused.")
    paused = answer(progress, intent, "Done.")
    return replace(paused, phase=Phase.PAUSED, interrupted=progress.phase, waits=Wait.RESUME,
                   reason=f"Paused by {intent.by}.")  # fmt: skip


def resume(progress: Progress, intent: Intent) -> Progress:
    if progress.phase is not Phase.PAUSED:
        return answer(progress, intent, f"Nothing to do: the rollout is {progress.phase.value}.")
    back = progress.interrupted or Phase.WARMING
    resumed = answer(progress, intent, "Done.")
    return replace(resumed, phase=back, interrupted=None, waits=None, reason=f"Resumed by {intent.by}.")


def find_refusal(progress: Progress, intent: Intent, facts: Facts) -> str:
    """Why traffic is not moved on at somebody's request, or an empty string."""
    allowed = PROMOTABLE if intent.action is IntentAction.PROMOTE else AT_STEP
    if progress.phase not in allowed | {Phase.WATCHING}:
        return f"a rollout that is {progress.phase.value} cannot {intent.action.value}."
    if 0 <= intent.step != progress.step:
        return f"it was asked at step {intent.step + 1}; the rollout is at {progress.step + 1}. Look again."
    if progress.phase is Phase.WATCHING:
        return ""
    if not is_ready(progress, facts):
        return f"version {progress.plan.canary} has no ready replica. Wait until it has one."
    if facts.frozen_until_s is not None:
        return "a freeze is in force. Ask again when it is over."
    return ""


def answer(progress: Progress, intent: Intent, said: str) -> Progress:
    return replace(progress, intent=intent.generation, intent_epoch=intent.epoch, answer=said)
