"""Every state that a rollout can come to, looked at with every fact and every intent, keeps every promise.

The planted faults show that the search would find a rule that is missing.
"""

from functools import cache

import pytest
from support.planted import plant
from support.rollouts import CANARY, STABLE, Broken, Graph, Look, make_plan

from inference.policy.canary.verdict import Kind
from inference.policy.rollout.facts import FINAL, STOPPED, Facts
from inference.policy.rollout.machine import LOOK_GAP_S, step_rollout
from inference.policy.rollout.plan import list_rungs
from inference.spec import IntentAction, Step
from inference.status import Phase, Progress

JUDGED = {Phase.BAKING, Phase.HOLDING, Phase.PAUSED}
PLANS = {
    "two steps": make_plan(
        steps=(Step(percent=10, bake_s=2 * LOOK_GAP_S), Step(percent=50, bake_s=0), Step(percent=100, bake_s=0)),
        max_losses=0,
    ),
    "no guards and a budget": make_plan(20, guards=(), max_exposed=1, max_losses=0),
    "a gate and a budget": make_plan(
        steps=(Step(percent=10, bake_s=LOOK_GAP_S, manual=True),), max_exposed=100, max_losses=1
    ),
    "a step of nothing": make_plan(0, 100),
    "all at once, watched by hand": make_plan(steps=(Step(percent=100, bake_s=0, manual=True),)),
}


def asked(before: Progress, facts: Facts, *actions: str) -> bool:
    """Whether the newest intent is one of these, about this rollout and of this database."""
    intent = facts.intent
    return (
        intent is not None
        and intent.rollout == before.plan.id
        and intent.epoch == before.intent_epoch
        and intent.generation > before.intent
        and intent.action.value in actions
        and intent.step in (-1, before.step)
    )


def answering(progress: Progress, facts: Facts) -> bool:
    """Whether some version with traffic has a ready replica."""
    weighted = {STABLE} if progress.percent < 100 else set()
    return bool(facts.ready & (weighted | ({CANARY} if progress.percent > 0 else set())))


def only_the_canary_answers(facts: Facts) -> bool:
    return CANARY in facts.ready and STABLE not in facts.ready


def observed(before: Progress, facts: Facts) -> float:
    """Seconds that count of the step, this look's included."""
    return before.phase_s + (facts.now_s - before.seen_s if CANARY in facts.ready else 0)


# The promises


def has_no_more_than_its_step_allows(before: Progress, facts: Facts, after: Progress) -> bool:
    rungs = [step.percent for step in list_rungs(after.plan)]
    if after.phase in {Phase.PENDING, Phase.WARMING}:
        return after.percent == 0
    if after.phase in {Phase.WATCHING, Phase.PROMOTED}:
        return after.percent == 100
    if after.phase in STOPPED or after.phase is Phase.PROMOTING or after.step == len(rungs):
        return after.percent <= before.percent
    return after.percent in {0.0, rungs[after.step]}


def rises_only_while_ready_wanted_and_not_frozen(before: Progress, facts: Facts, after: Progress) -> bool:
    if after.percent <= before.percent:
        return True
    return (
        CANARY in facts.ready
        and facts.frozen_until_s is None
        and facts.verdict.kind is not Kind.ROLL_BACK
        and before.phase not in FINAL | {Phase.PENDING, Phase.PAUSED}
        and not asked(before, facts, "abort", "pause")
    )


def gets_all_only_when_able(before: Progress, facts: Facts, after: Progress) -> bool:
    return after.percent < 100 or before.percent == 100 or CANARY in facts.able


def loses_no_capacity(before: Progress, facts: Facts, after: Progress) -> bool:
    return not answering(before, facts) or answering(after, facts)


def gives_up_a_canary_that_is_gone(before: Progress, facts: Facts, after: Progress) -> bool:
    return CANARY in facts.ready or STABLE not in facts.ready or after.phase is Phase.PROMOTED or after.percent == 0


def moves_nothing_while_neither_is_ready(before: Progress, facts: Facts, after: Progress) -> bool:
    if facts.ready or after.phase in STOPPED:
        return True
    return after.percent == before.percent or after.exposed == after.plan.max_exposed


def counts_each_loss(before: Progress, facts: Facts, after: Progress) -> bool:
    lost = before.percent > 0 and before.phase not in FINAL and CANARY not in facts.ready and STABLE in facts.ready
    ended = after.phase is Phase.ABORTED or facts.verdict.kind is Kind.ROLL_BACK
    return ended or after.losses == before.losses + lost


def holds_only_when_its_time_is_over(before: Progress, facts: Facts, after: Progress) -> bool:
    if before.phase is not Phase.BAKING or after.phase is not Phase.HOLDING or not after.percent:
        return True
    return observed(before, facts) >= list_rungs(before.plan)[before.step].bake_s


def stays_stopped(before: Progress, facts: Facts, after: Progress) -> bool:
    return before.phase not in FINAL or (after.phase is before.phase and after.percent <= before.percent)


def obeys_evidence_against_it(before: Progress, facts: Facts, after: Progress) -> bool:
    if facts.verdict.kind is not Kind.ROLL_BACK or before.phase in FINAL | {Phase.PENDING}:
        return True
    return after.phase in STOPPED and (after.percent == 0 or only_the_canary_answers(facts))


def obeys_an_abort(before: Progress, facts: Facts, after: Progress) -> bool:
    if not asked(before, facts, "abort") or before.phase in FINAL:
        return after.phase is not Phase.ABORTED or before.phase is Phase.ABORTED
    return after.phase is Phase.ABORTED and (after.percent == 0 or only_the_canary_answers(facts))


def obeys_a_pause(before: Progress, facts: Facts, after: Progress) -> bool:
    pausing = {Phase.WARMING, Phase.BAKING, Phase.HOLDING, Phase.PAUSED, Phase.PROMOTING}
    if not asked(before, facts, "pause") or before.phase not in pausing:
        return True
    return after.phase in STOPPED | {Phase.PAUSED} and after.percent <= before.percent


def keeps_the_budget(before: Progress, facts: Facts, after: Progress) -> bool:
    most = after.plan.max_exposed
    proven = facts.verdict.kind is Kind.ADVANCE and after.plan.guards
    if most is None or after.exposed < most or after.waived or proven or after.phase not in JUDGED:
        return True
    return after.percent == 0 or STABLE not in facts.ready or after.interrupted is Phase.PROMOTING


def skips_nothing_by_itself(before: Progress, facts: Facts, after: Progress) -> bool:
    if after.step <= before.step or asked(before, facts, "advance", "promote"):
        return True
    step = list_rungs(before.plan)[before.step]
    return (
        after.step == before.step + 1
        and before.phase in {Phase.BAKING, Phase.HOLDING}
        and (before.phase is Phase.HOLDING or observed(before, facts) >= step.bake_s)
        and (not step.manual)
        and (facts.verdict.kind is Kind.ADVANCE or not before.plan.guards or step.percent == 0)
    )


def promotes_only_what_passed_or_was_asked_for(before: Progress, facts: Facts, after: Progress) -> bool:
    if after.phase not in {Phase.PROMOTING, Phase.WATCHING, Phase.PROMOTED} or after.phase is before.phase:
        return True
    return after.step == len(list_rungs(after.plan))


def begins_only_when_run(before: Progress, facts: Facts, after: Progress) -> bool:
    if before.phase is not Phase.PENDING or after.phase in {Phase.PENDING, Phase.ABORTED}:
        return True
    return asked(before, facts, "run") and facts.frozen_until_s is None and STABLE in facts.ready


def loses_its_canary_only_so_often(before: Progress, facts: Facts, after: Progress) -> bool:
    return after.losses <= after.plan.max_losses or after.phase in STOPPED


def answers_each_intent_once(before: Progress, facts: Facts, after: Progress) -> bool:
    intent = facts.intent
    if intent is None or intent.rollout != before.plan.id:
        return after.intent == before.intent
    if intent.epoch == before.intent_epoch and intent.generation <= before.intent:
        return after.intent == before.intent
    waiting = intent.action is IntentAction.RUN and after.phase is Phase.PENDING
    ended = after.phase in STOPPED and before.phase not in FINAL
    return waiting or ended or (after.intent, after.intent_epoch) == (intent.generation, intent.epoch)


PROMISES = [
    has_no_more_than_its_step_allows, rises_only_while_ready_wanted_and_not_frozen, gets_all_only_when_able,
    loses_no_capacity, gives_up_a_canary_that_is_gone, moves_nothing_while_neither_is_ready, counts_each_loss,
    holds_only_when_its_time_is_over, stays_stopped, obeys_evidence_against_it, obeys_an_abort,
    obeys_a_pause, keeps_the_budget, skips_nothing_by_itself, promotes_only_what_passed_or_was_asked_for,
    begins_only_when_run, loses_its_canary_only_so_often, answers_each_intent_once,
]  # fmt: skip


@cache
def search(name: str) -> Graph:
    return Graph(PLANS[name], step_rollout, PROMISES)


@pytest.mark.parametrize("name", PLANS)
def test_every_look_keeps_every_promise(name: str) -> None:
    graph = search(name)
    assert {Phase.PROMOTED, Phase.ABORTED, Phase.PAUSED, Phase.WATCHING} <= {state.phase for state in graph.states}
    assert graph.looks > 1_000


@pytest.mark.parametrize("name", PLANS)
def test_no_state_is_a_dead_end(name: str) -> None:
    graph = search(name)
    promoted = {number for number, state in enumerate(graph.states) if state.phase is Phase.PROMOTED}
    stopped = {number for number, state in enumerate(graph.states) if state.phase in STOPPED and not state.percent}
    going = {number for number, state in enumerate(graph.states) if state.phase not in FINAL}
    assert going <= graph.list_reaching(promoted)
    assert going <= graph.list_reaching(stopped)


def test_the_search_meets_what_is_hard() -> None:
    """A rolled-back canary that keeps traffic for want of stable, a paused budget, a loss in the watch."""
    states = [state for name in PLANS for state in search(name).states]
    assert any(state.phase is Phase.ROLLED_BACK and state.percent == 100 for state in states)
    assert any(state.phase is Phase.PAUSED and state.interrupted is Phase.HOLDING and not state.percent
               for state in states)  # fmt: skip
    assert any(state.phase is Phase.WARMING and state.losses and state.step == len(state.plan.steps)
               for state in states)  # fmt: skip


# Planted faults

MODULES = ("facts", "plan", "steps", "intents", "machine")
FAULTS = [
    ("machine", "if held.phase in FINAL:", "if held.phase in FINAL and not facts.verdict.kind is Kind.ADVANCE:"),
    ("machine", "if facts.verdict.kind is Kind.ROLL_BACK:",
     "if facts.verdict.kind is Kind.ROLL_BACK and progress.phase is not Phase.PAUSED:"),
    ("machine", "if can_leave(progress, facts):\n        return replace(progress, percent=0.0, waits=None)",
     "if True:\n        return replace(progress, percent=0.0, waits=None)"),
    ("machine", "or not is_ready(progress, facts)\n", "\n"),
    ("machine", "lost = replace(progress, percent=0.0,", "lost = replace(progress,"),
    ("machine", "losses=progress.losses + 1", "losses=progress.losses"),
    ("machine", "intent.action is IntentAction.ABORT and is_unanswered(progress, intent)",
     "intent.action is IntentAction.ABORT and progress.phase is not Phase.WATCHING"),
    ("machine", "phase = progress.interrupted if paused else progress.phase", "phase = progress.phase"),
    ("machine", "or progress.plan.stable not in facts.ready", ""),
    ("machine", "else ready and held.phase", "else held.phase"),
    ("steps", "if facts.frozen_until_s is not None:\n        return hold", "if False:\n        return hold"),
    ("steps", "if facts.frozen_until_s is not None:\n        return wait", "if False:\n        return wait"),
    ("steps", "if not is_ready(progress, facts):\n        return hold", "if False:\n        return hold"),
    ("steps", "or progress.plan.canary not in facts.able", ""),
    ("steps", "if step.manual:", "if step.manual and not is_proven(progress, facts):"),
    ("steps", "and not is_proven(progress, facts):", "and False:"),
    ("steps", "progress.phase_s < step.bake_s", "progress.phase_s < step.bake_s / 2"),
    ("steps", "if plan.stable not in facts.ready:", "if False:"),
    ("steps", "return enter_step(progress, progress.step + 1, facts)",
     "return enter_step(progress, progress.step + 2, facts)"),
    ("steps", "if percent and is_spent(progress, facts):", "if False:"),
    ("intents", "return intent.epoch != progress.intent_epoch or intent.generation > progress.intent", "return True"),
    ("intents", "and intent.action is not IntentAction.PAUSE:", "and False:"),
    ("intents", "if 0 <= intent.step != progress.step:", "if False:"),
    ("intents", "phase=Phase.PAUSED, interrupted=", "percent=100.0, phase=Phase.PAUSED, interrupted="),
    ("intents", "PAUSABLE = AT_STEP |", "PAUSABLE ="),
    ("intents", "return replace(progress, intent=intent.generation,", "return replace(progress,"),
    ("facts", "return bool(progress.plan.guards) and", "return"),
]  # fmt: skip


def search_all(look: Look) -> None:
    for plan in PLANS.values():
        Graph(plan, look, PROMISES)


@pytest.mark.parametrize("module, sound, faulty", FAULTS, ids=[f"{fault[0]}-{at}" for at, fault in enumerate(FAULTS)])
def test_a_planted_fault_is_found(module: str, sound: str, faulty: str) -> None:
    look: Look = plant("inference.policy.rollout", MODULES, module, sound, faulty).step_rollout
    with pytest.raises(Broken):
        search_all(look)
