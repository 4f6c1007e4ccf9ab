"""A rollout by the clock: what happens when nothing is odd, and what each oddity does."""

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.rollouts import (
    BETTER,
    BOTH,
    CANARY,
    NOW_S,
    STABLE,
    UNSURE,
    WORSE,
    make_facts,
    make_intent,
    make_plan,
    make_progress,
)

from inference.policy.canary.verdict import Verdict
from inference.policy.rollout.facts import FINAL
from inference.policy.rollout.machine import LOOK_GAP_S, step_rollout
from inference.spec import Step
from inference.status import Phase, Progress, Threshold, Wait

LADDER = make_plan(steps=tuple(Step(percent=percent, bake_s=60) for percent in (5, 25, 100)))


def live(progress: Progress, seconds: float, **facts: object) -> Progress:
    """Look once a second."""
    start_s = progress.seen_s
    for second in range(1, int(seconds) + 1):
        progress = step_rollout(progress, make_facts(now_s=start_s + second, **facts))
    return progress


def at_step(step: int = 0, **fields: object) -> Progress:
    percents = [rung.percent for rung in LADDER.steps]
    return make_progress(LADDER, Phase.BAKING, step=step, percent=percents[step], intent=1, **fields)


def test_a_good_canary_goes_up_step_by_step_and_is_watched() -> None:
    progress = live(make_progress(LADDER), 3)
    assert (progress.phase, progress.waits) == (Phase.PENDING, Wait.RUN)
    run = {"intent": make_intent("run"), "verdict": BETTER}
    progress = live(progress, 3, ready={STABLE}, **run)
    assert (progress.phase, progress.waits, progress.percent) == (Phase.WARMING, Wait.CAPACITY, 0)
    progress = live(progress, 60, **run)
    assert (progress.phase, progress.step, progress.percent) == (Phase.BAKING, 0, 5)
    progress = live(progress, 60, **run)
    assert (progress.step, progress.percent) == (1, 25)
    progress = live(progress, 62, able={STABLE}, **run)
    assert (progress.phase, progress.waits, progress.percent) == (Phase.PROMOTING, Wait.CAPACITY, 25)
    progress = live(progress, 1, **run)
    assert (progress.phase, progress.percent) == (Phase.WATCHING, 100)
    assert live(progress, 59, **run).phase is Phase.WATCHING
    assert live(progress, 60, **run).phase is Phase.PROMOTED


@pytest.mark.parametrize(
    "facts, waits",
    [
        ({"verdict": UNSURE}, Wait.EVIDENCE),
        ({"verdict": BETTER, "frozen_until_s": NOW_S + 999}, Wait.FREEZE),
    ],
)
def test_a_step_holds_for_want_of_something(facts: dict[str, object], waits: Wait) -> None:
    held = live(at_step(), 61, **facts)
    assert (held.phase, held.waits, held.percent) == (Phase.HOLDING, waits, 5)
    assert live(held, 1, verdict=BETTER).percent == 25


def test_a_gate_opens_only_by_hand() -> None:
    plan = make_plan(steps=(Step(percent=5, bake_s=1, manual=True), Step(percent=50, bake_s=1)))
    held = live(make_progress(plan, Phase.BAKING, percent=5.0), 100, verdict=BETTER)
    assert (held.phase, held.waits, held.percent) == (Phase.HOLDING, Wait.GATE, 5)
    assert live(held, 1, verdict=BETTER, intent=make_intent("advance")).percent == 50


def test_without_guards_only_time_counts() -> None:
    plan = make_plan(10, 50, guards=())
    assert live(make_progress(plan, Phase.BAKING, percent=10.0), 5, verdict=UNSURE).percent == 50


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in FINAL | {Phase.PENDING}])
def test_evidence_against_the_canary_ends_every_phase(phase: Phase) -> None:
    interrupted = Phase.BAKING if phase is Phase.PAUSED else None
    percent = {Phase.WARMING: 0.0, Phase.WATCHING: 100.0}.get(phase, 5.0)
    progress = make_progress(LADDER, phase, percent=percent, interrupted=interrupted)
    ended = live(progress, 1, verdict=WORSE)
    assert (ended.phase, ended.percent) == (Phase.ROLLED_BACK, 0)
    assert "error_rate" in ended.reason
    assert live(ended, 10, verdict=BETTER, intent=make_intent("resume")).phase is Phase.ROLLED_BACK


def test_a_rollback_waits_for_stable_rather_than_answer_nobody() -> None:
    ended = live(make_progress(LADDER, Phase.WATCHING, percent=100.0), 1, verdict=WORSE, ready={CANARY})
    assert (ended.phase, ended.percent, ended.waits) == (Phase.ROLLED_BACK, 100, Wait.STABLE)
    assert live(ended, 1, ready=BOTH).percent == 0


def test_a_canary_that_loses_its_last_replica_gives_way_and_begins_its_step_anew() -> None:
    lost = live(at_step(1), 1, ready={STABLE})
    assert (lost.phase, lost.percent, lost.losses) == (Phase.WARMING, 0, 1)
    back = live(lost, 1)
    assert (back.phase, back.step, back.percent, back.phase_s) == (Phase.BAKING, 1, 25, 0)


def test_a_canary_that_keeps_crashing_is_rolled_back() -> None:
    progress = at_step()
    for _ in range(LADDER.max_losses):
        progress = live(live(progress, 1, ready={STABLE}), 1)
        assert progress.phase is Phase.BAKING
    assert live(progress, 1, ready={STABLE}).phase is Phase.ROLLED_BACK


def test_a_canary_that_never_becomes_ready_is_given_up() -> None:
    progress = live(make_progress(LADDER, Phase.WARMING), 60, ready={STABLE})
    assert progress.phase is Phase.WARMING
    assert live(progress, 1, ready={STABLE}).phase is Phase.ROLLED_BACK


def test_what_cannot_be_decided_ends_at_the_deadline() -> None:
    plan = make_plan(5, deadline_s=100)
    progress = live(make_progress(plan, Phase.BAKING, percent=5.0), 100)
    assert progress.waits is Wait.EVIDENCE
    ended = live(progress, 1)
    assert ended.phase is Phase.ROLLED_BACK
    assert "inconclusive" in ended.reason


def test_the_exposure_budget_takes_the_traffic_of_an_unproven_canary() -> None:
    plan = make_plan(5, 25, max_exposed=100)
    progress = make_progress(plan, Phase.BAKING, percent=5.0)
    assert live(progress, 1, exposed=99).percent == 5
    spent = live(progress, 1, exposed=100)
    assert (spent.phase, spent.waits, spent.percent) == (Phase.HOLDING, Wait.BUDGET, 0)
    assert live(spent, 1, exposed=0).percent == 0, "a count that was lost gives no new budget"
    assert live(spent, 1, verdict=BETTER).percent == 25, "late evidence counts"
    waived = live(spent, 1, intent=make_intent("advance"))
    assert (waived.percent, waived.waived) == (25, True)
    assert live(waived, 1, exposed=500).percent == 25


def test_a_gate_that_opens_waives_no_budget_that_is_left() -> None:
    plan = make_plan(steps=(Step(percent=5, bake_s=1, manual=True), Step(percent=25, bake_s=60)), max_exposed=100)
    progress = live(make_progress(plan, Phase.HOLDING, percent=5.0), 1, intent=make_intent("advance"))
    assert progress.percent == 25
    assert live(progress, 1, exposed=100).percent == 0


def test_a_pause_stops_the_clock_and_not_the_guards() -> None:
    paused = live(live(at_step(), 30), 1, intent=make_intent("pause", 2))
    assert live(paused, 500, verdict=BETTER).percent == 5
    resumed = live(live(paused, 500), 1, intent=make_intent("resume", 3))
    assert resumed.phase is Phase.BAKING
    assert 29 <= resumed.phase_s <= 32
    assert live(paused, 1, verdict=WORSE).phase is Phase.ROLLED_BACK


def test_a_jump_of_the_clock_proves_nothing() -> None:
    forward = step_rollout(at_step(), make_facts(now_s=NOW_S + 3600, verdict=BETTER))
    assert (forward.step, forward.phase_s) == (0, LOOK_GAP_S)
    backward = step_rollout(forward, make_facts(now_s=NOW_S - 3600, verdict=BETTER))
    assert backward.phase_s == LOOK_GAP_S
    assert live(backward, 55, verdict=BETTER).step == 1


def test_time_counts_only_while_the_canary_is_ready() -> None:
    assert live(at_step(), 100, ready=frozenset(), verdict=BETTER).phase_s == 0


def test_thresholds_are_frozen_when_a_step_begins() -> None:
    first, later = (Threshold(at_s=0.1, above=0.5),), (Threshold(at_s=0.2, above=0.5),)
    progress = live(make_progress(LADDER, Phase.WARMING), 1, thresholds=first)
    assert progress.thresholds == first
    assert live(progress, 30, thresholds=later).thresholds == first
    assert live(progress, 61, thresholds=later, verdict=BETTER).thresholds == later


def test_an_intent_is_obeyed_once() -> None:
    plan = make_plan(5, 10, 20, 40)
    advance = make_intent("advance")
    progress = live(make_progress(plan, Phase.BAKING, percent=5.0), 3, intent=advance)
    assert (progress.step, progress.answer) == (1, "Done.")


@pytest.mark.parametrize(
    "intent, facts, said",
    [
        (make_intent("advance", 2, step=1), {}, "step 2"),
        (make_intent("advance", 2), {"frozen_until_s": inf}, "freeze"),
        (make_intent("promote", 2), {"ready": set()}, "no ready replica"),
        (make_intent("advance", 7, epoch="restored"), {}, "restored"),
        (make_intent("run", 2), {}, "Nothing to do"),
    ],
)
def test_a_refusal_says_why(intent: object, facts: dict[str, object], said: str) -> None:
    refused = live(at_step(), 1, intent=intent, **facts)
    assert said in refused.answer
    assert (refused.step, refused.percent) == (0, 5)


def test_after_a_restored_database_an_operator_asks_again() -> None:
    progress = live(at_step(), 1, intent=make_intent("advance", 1, epoch="restored"))
    assert progress.step == 0
    assert live(progress, 1, intent=make_intent("advance", 2, epoch="restored")).step == 1
    assert live(at_step(), 1, intent=make_intent("abort", 0, epoch="restored")).phase is Phase.ABORTED


def test_approvals_are_of_others_than_the_one_who_runs_it() -> None:
    run = make_intent("run", by="ana")
    pending = make_progress(make_plan(5, approvals=2, approved_by=("ana", "bo", "bo")))
    waiting = live(pending, 3, intent=run)
    assert (waiting.phase, waiting.waits) == (Phase.PENDING, Wait.APPROVAL)
    agreed = replace(waiting, plan=replace(waiting.plan, approved_by=("ana", "bo", "cy")))
    assert live(agreed, 1, intent=run).phase is Phase.WARMING, "the request to run was kept"


def test_a_run_in_a_freeze_starts_when_it_is_over() -> None:
    run = make_intent("run")
    waiting = live(make_progress(LADDER), 3, intent=run, frozen_until_s=NOW_S + 3)
    assert (waiting.phase, waiting.waits) == (Phase.PENDING, Wait.FREEZE)
    assert live(waiting, 1, intent=run).phase is Phase.WARMING


times = st.one_of(st.floats(min_value=-1e6, max_value=1e10), st.sampled_from([nan, inf, -inf, 0.0]))
facts_of_any_kind = st.builds(
    make_facts,
    now_s=times,
    ready=st.frozensets(st.sampled_from([STABLE, CANARY])),
    able=st.frozensets(st.sampled_from([STABLE, CANARY])),
    verdict=st.sampled_from([UNSURE, BETTER, WORSE]),
    exposed=st.integers(-5, 10**12),
    frozen_until_s=st.sampled_from([None, inf]),
    intent=st.one_of(
        st.none(),
        st.builds(
            make_intent,
            st.sampled_from(["run", "pause", "resume", "advance", "promote", "abort"]),
            st.integers(0, 20),
            step=st.integers(-1, 5),
            epoch=st.sampled_from(["e", "f"]),
        ),
    ),
)
steps_of_any_kind = st.lists(st.sampled_from([0.0, 1e-9, 5.0, 50.0, 99.999, 100.0]), min_size=1, unique=True).map(
    lambda percents: tuple(Step(percent=percent, bake_s=3) for percent in sorted(percents))
)


@settings(max_examples=60, deadline=None)
@given(steps=steps_of_any_kind, looks=st.lists(facts_of_any_kind, max_size=40))
def test_whatever_happens_traffic_stays_within_the_plan(steps: tuple[Step, ...], looks: list[object]) -> None:
    progress = make_progress(make_plan(steps=steps, max_exposed=1000))
    allowed = {0.0, 100.0} | {step.percent for step in steps}
    for facts in looks:
        before, progress = progress, step_rollout(progress, facts)
        assert progress.percent in allowed
        assert progress.phase is before.phase or before.phase not in FINAL
        assert progress.phase_s >= 0
        assert progress.active_s - before.active_s <= LOOK_GAP_S
        assert progress.exposed >= before.exposed
        assert progress.percent <= before.percent or CANARY in facts.ready


def test_zero_traffic_is_inconclusive_and_ends_at_the_deadline() -> None:
    plan = make_plan(5, deadline_s=30)
    assert live(make_progress(plan, Phase.BAKING, percent=5.0), 31, verdict=Verdict(kind=UNSURE.kind)).phase is (
        Phase.ROLLED_BACK
    )
