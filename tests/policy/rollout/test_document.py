"""The document of a model with a rollout: what gateways get, and what is left when plans come and go."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.rollouts import (
    BETTER,
    CANARY,
    NOW_S,
    OTHER,
    STABLE,
    UNSURE,
    WORSE,
    make_facts,
    make_intent,
    make_model,
    make_plan,
)

from inference.errors import BadDocument
from inference.policy.rollout.document import (
    CLOCK_S,
    MAX_STOPPED,
    Held,
    decide_rollout,
    find_barred,
    list_needed,
)
from inference.policy.rollout.narrate import narrate
from inference.policy.rollout.plan import check_plan
from inference.spec import ModelSpec, RolloutPlan, Step, decode, encode
from inference.status import Effective, Phase

ALL = frozenset({STABLE, CANARY, OTHER})
PLAN = make_plan(10, 50)


class Desk:
    """A controller that keeps what it is to keep and publishes what is news."""

    def __init__(self, model: ModelSpec, document: Effective | None = None, fence: int = 1):
        self.model = model
        self.document = document
        self.held: Held | None = None
        self.fence = fence
        self.now_s = NOW_S
        self.written = 0

    def look(self, times: int = 1, **facts: object) -> Effective:
        for _ in range(times):
            self.now_s += 1
            seen = make_facts(**{"ready": ALL, "able": ALL, "verdict": BETTER, **facts, "now_s": self.now_s})
            document, self.held = decide_rollout(self.model, self.document, self.held, seen, self.fence)
            self.written += document is not self.document
            # What is published comes back as a reader decodes it, except to the one who wrote it.
            assert decode(encode(document), Effective) == document
            self.document = document
        return self.document

    def crash(self) -> None:
        self.held = None
        self.fence += 1

    @property
    def weights(self) -> dict[int, float]:
        return {weight.version: weight.percent for weight in self.document.weights}

    @property
    def phase(self) -> Phase | None:
        return self.document.progress.phase if self.document.progress else None


def begun(plan: RolloutPlan = PLAN, **fields: object) -> Desk:
    """At its first step."""
    desk = Desk(make_model(plan, **fields))
    desk.look(3, intent=make_intent("run", rollout=plan.id))
    assert desk.phase is Phase.BAKING
    return desk


def test_without_a_plan_the_spec_is_in_force() -> None:
    desk = Desk(make_model(weights={STABLE: 70.0, OTHER: 30.0}))
    assert desk.look().progress is None
    assert desk.weights == {STABLE: 70, OTHER: 30}
    assert desk.document.salt == "own"


def test_a_plan_that_waits_changes_nothing() -> None:
    desk = Desk(make_model(PLAN))
    desk.look(5)
    assert (desk.phase, desk.weights, desk.document.salt) == (Phase.PENDING, {STABLE: 100}, "own")


def test_a_rollout_divides_all_traffic_under_its_own_salt() -> None:
    desk = begun()
    assert desk.weights == {CANARY: 10, STABLE: 90}
    assert desk.document.salt == PLAN.id
    desk.look(60)
    assert (desk.phase, desk.weights) == (Phase.PROMOTED, {CANARY: 100})


def test_weights_and_progress_never_disagree() -> None:
    desk = Desk(make_model(PLAN))
    for facts in [{"intent": make_intent("run")}, {}, {}, {"ready": {STABLE}}, {}, {}, {"verdict": WORSE}, {}]:
        document = desk.look(**facts)
        canary = desk.weights.get(CANARY, 0)
        assert canary == document.progress.percent
        assert sum(desk.weights.values()) == 100


def test_a_crash_costs_observed_time_and_nothing_else() -> None:
    plan = make_plan(steps=(Step(percent=10, bake_s=100), Step(percent=50, bake_s=100)))
    desk = begun(plan)
    desk.look(90)
    before = desk.held.progress
    desk.crash()
    after = desk.look().progress
    assert (after.phase, after.step, after.percent) == (before.phase, before.step, before.percent)
    assert before.phase_s - CLOCK_S <= after.phase_s <= before.phase_s + 1


def test_only_news_is_written() -> None:
    desk = begun(make_plan(steps=(Step(percent=10, bake_s=1000),)))
    written = desk.written
    desk.look(100, exposed=5)
    assert desk.written - written <= 100 / CLOCK_S


def test_a_document_of_another_controller_makes_what_is_held_void() -> None:
    desk = begun()
    stopped = replace(desk.document, fence=2, progress=replace(desk.document.progress, phase=Phase.ABORTED))
    desk.document = stopped
    desk.look()
    assert desk.phase is Phase.ABORTED


def test_a_new_fence_says_everything_anew() -> None:
    desk = begun()
    desk.look()
    desk.crash()
    document = desk.look()
    assert (document.fence, document.revision) == (2, 1)


@pytest.mark.parametrize("generation", [1, 2, 99])
@pytest.mark.parametrize("epoch", ["e", "restored"])
def test_stopped_stays_stopped_until_another_id_comes(generation: int, epoch: str) -> None:
    desk = begun()
    desk.look(verdict=WORSE)
    assert (desk.phase, desk.weights) == (Phase.ROLLED_BACK, {STABLE: 100})
    desk.crash()
    again = make_intent("run", 50, epoch=epoch)
    desk.model = replace(desk.model, generation=generation, epoch=epoch)
    desk.look(20, intent=again)
    assert (desk.phase, desk.weights) == (Phase.ROLLED_BACK, {STABLE: 100})
    desk.model = replace(desk.model, rollout=None)
    desk.look(3)
    desk.crash()
    desk.model = replace(desk.model, rollout=PLAN)
    desk.look(20, intent=again)
    assert (desk.phase, desk.weights) == (Phase.ABORTED, {STABLE: 100})
    desk.model = replace(desk.model, rollout=replace(PLAN, id="r2"))
    desk.look(3, intent=make_intent("run", 1, epoch=epoch, rollout="r2"))
    assert desk.phase is Phase.BAKING


def test_ids_of_stopped_rollouts_are_bounded() -> None:
    desk = Desk(make_model(PLAN))
    for number in range(MAX_STOPPED + 5):
        desk.model = replace(desk.model, rollout=replace(PLAN, id=f"r{number}"))
        desk.look(intent=make_intent("abort", rollout=f"r{number}"))
    assert len(desk.document.stopped) == MAX_STOPPED
    assert desk.document.stopped[-1] == f"r{MAX_STOPPED + 4}"


def test_a_plan_changed_under_its_id_changes_nothing_once_it_runs() -> None:
    desk = begun()
    desk.model = replace(desk.model, rollout=replace(PLAN, steps=(Step(percent=99, bake_s=0),), canary=OTHER))
    desk.look(2, verdict=UNSURE)
    assert desk.weights == {CANARY: 10, STABLE: 90}


def test_a_plan_taken_away_in_the_middle_stops_the_rollout() -> None:
    desk = begun()
    desk.model = replace(desk.model, rollout=None)
    desk.look()
    assert (desk.phase, desk.weights, desk.document.stopped) == (None, {STABLE: 100}, (PLAN.id,))


def test_another_plan_stops_the_one_before() -> None:
    desk = begun()
    desk.model = replace(desk.model, rollout=replace(PLAN, id="r2", canary=OTHER))
    desk.look()
    assert (desk.phase, desk.weights, desk.document.stopped) == (Phase.PENDING, {STABLE: 100}, (PLAN.id,))


def test_a_promotion_is_folded_into_the_spec_without_a_move() -> None:
    desk = begun()
    desk.look(60)
    assert desk.weights == {CANARY: 100}
    desk.model = make_model(PLAN, weights={CANARY: 100.0}, generation=2)
    desk.look()
    assert desk.weights == {CANARY: 100}
    desk.model = make_model(None, weights={CANARY: 100.0}, generation=3)
    desk.look()
    assert (desk.phase, desk.weights, desk.document.stopped) == (None, {CANARY: 100}, ())


def test_after_a_rollback_an_operator_may_go_further_back() -> None:
    desk = begun()
    desk.look(verdict=WORSE)
    desk.model = make_model(PLAN, weights={OTHER: 100.0}, generation=2)
    desk.look()
    assert desk.weights == {OTHER: 100}
    desk.model = make_model(PLAN, weights={CANARY: 40.0, OTHER: 60.0}, generation=3)
    desk.look()
    assert desk.weights == {STABLE: 40, OTHER: 60}, "the stopped canary gets nothing"


def test_a_rollback_with_nobody_ready_leaves_the_canary_at_once() -> None:
    desk = begun()
    desk.look(verdict=WORSE, ready=frozenset())
    assert desk.weights == {STABLE: 100}


def test_a_plan_aborted_before_it_ran_moves_nothing() -> None:
    desk = Desk(make_model(PLAN, weights={OTHER: 100.0}))
    desk.look(2)
    desk.look(2, intent=make_intent("abort"), ready={OTHER})
    assert (desk.phase, desk.weights) == (Phase.ABORTED, {OTHER: 100})


def test_a_deleted_model_has_no_traffic_and_its_rollout_ends() -> None:
    desk = begun()
    desk.model = replace(desk.model, deleted=True)
    desk.look()
    assert (desk.phase, desk.weights, desk.document.stopped) == (None, {}, (PLAN.id,))


@pytest.mark.parametrize(
    "plan, weights, said",
    [
        (make_plan(), {STABLE: 100.0}, "no steps"),
        (make_plan(10, 10), {STABLE: 100.0}, "must rise"),
        (make_plan(50, 10), {STABLE: 100.0}, "must rise"),
        (make_plan(float("nan")), {STABLE: 100.0}, "outside 0 to 100"),
        (make_plan(steps=(Step(percent=5, bake_s=float("inf")),)), {STABLE: 100.0}, "no number of seconds"),
        (make_plan(*range(60)), {STABLE: 100.0}, "at most"),
        (make_plan(10, id=""), {STABLE: 100.0}, "no id"),
        (make_plan(10, canary=STABLE), {STABLE: 100.0}, "two versions"),
        (make_plan(10, canary=7), {STABLE: 100.0}, "not live"),
        (make_plan(10), {STABLE: 60.0, OTHER: 40.0}, "has traffic"),
        (make_plan(10), {CANARY: 100.0}, "has traffic"),
        (make_plan(10), {}, "nothing to move"),
    ],
)
def test_a_plan_that_cannot_be_run_waits_and_moves_nothing(
    plan: RolloutPlan, weights: dict[int, float], said: str
) -> None:
    model = make_model(plan)
    shares = tuple(
        replace(model.traffic.weights[0], version=number, percent=share) for number, share in weights.items()
    )
    model = replace(model, traffic=replace(model.traffic, weights=shares))
    with pytest.raises(BadDocument, match=said):
        check_plan(plan, model)
    desk = Desk(model)
    document, _ = decide_rollout(model, None, None, make_facts(intent=make_intent("run", rollout=plan.id)), 1)
    assert document.progress.phase is Phase.PENDING
    assert {weight.version: weight.percent for weight in document.weights} == weights
    assert desk.document is None


def test_nothing_has_to_load_to_go_back() -> None:
    desk = Desk(make_model(PLAN))
    desk.look()
    for facts in [{"intent": make_intent("run")}, *[{}] * 20]:
        progress = desk.look(**facts).progress
        if progress.phase is not Phase.PROMOTED:
            assert STABLE in list_needed(progress)
        if progress.percent:
            assert CANARY in list_needed(progress)


def test_a_stopped_canary_is_barred_from_rules() -> None:
    desk = begun()
    assert find_barred(desk.document.progress) is None
    assert find_barred(desk.look(verdict=WORSE).progress) == CANARY


def test_the_log_says_what_changed_and_why() -> None:
    desk = Desk(make_model(PLAN))
    desk.look()
    lines = []
    for facts in [{"intent": make_intent("run")}, {}, {}, {"verdict": WORSE}, {}]:
        before = desk.document.progress
        lines += narrate(before, desk.look(**facts).progress)
    kinds = [line.kind for line in lines]
    assert kinds.index("rollout.warming") < kinds.index("rollout.baking") < kinds.index("rollout.rolled_back")
    assert next(line for line in lines if line.kind == "rollout.rolled_back").level == "bad"
    assert narrate(desk.document.progress, desk.look().progress) == []
    assert narrate(None, None) == []


changes = st.sampled_from(
    [
        {"rollout": None},
        {"rollout": PLAN},
        {"rollout": replace(PLAN, id="r2", canary=OTHER)},
        {"rollout": replace(PLAN, steps=(Step(percent=90, bake_s=0),))},
        {"epoch": "restored"},
        {"deleted": True},
        {"deleted": False},
        {"traffic": make_model(weights={CANARY: 100.0}).traffic},
        {"traffic": make_model(weights={STABLE: 60.0, OTHER: 40.0}).traffic},
        {"traffic": make_model().traffic},
    ]
)
looks = st.builds(
    dict,
    ready=st.sets(st.sampled_from([STABLE, CANARY, OTHER])),
    verdict=st.sampled_from([UNSURE, BETTER, BETTER, WORSE]),
    intent=st.builds(
        make_intent,
        st.sampled_from(["run", "run", "run", "pause", "resume", "advance", "promote", "abort"]),
        st.integers(0, 9),
        rollout=st.sampled_from([PLAN.id, "r2"]),
        epoch=st.sampled_from(["e", "restored"]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(looks, looks, looks, changes, st.just("crash")), max_size=40))
def test_whatever_becomes_of_the_spec_stopped_stays_stopped_and_weights_are_whole(happenings: list[object]) -> None:
    desk = Desk(make_model(PLAN))
    stopped: set[str] = set()
    for happening in happenings:
        if happening == "crash":
            desk.crash()
        elif "ready" in happening:
            desk.look(2, **happening)
        else:
            desk.model = replace(desk.model, generation=desk.model.generation + 1, **happening)
        progress = desk.look().progress
        if progress is not None and progress.plan.id in stopped:
            assert progress.phase in {Phase.ABORTED, Phase.ROLLED_BACK}
            assert progress.percent == 0, "stable is ready at this look"
            assert progress.plan.canary not in desk.weights
        stopped |= set(desk.document.stopped)
        assert stopped == set(desk.document.stopped), "no id is forgotten while there are few"
        assert bool(desk.weights) != desk.model.deleted
        assert sum(desk.weights.values()) == (0 if desk.model.deleted else pytest.approx(100))
        if progress is not None and progress.phase in {Phase.BAKING, Phase.HOLDING, Phase.WATCHING}:
            assert desk.weights.get(progress.plan.canary, 0) == progress.percent
