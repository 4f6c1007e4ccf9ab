"""Rollouts for tests: plans, models, looks, and a search through all that a rollout can come to.

The search runs the real functions. Looks that differ only in words (reason, answer, what is waited for) or in time past
what any rule compares with are one state, so that there are finitely many and each is looked at with every fact.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import product

from msgspec.structs import replace

from inference.policy.canary.verdict import Evidence, Kind, Verdict
from inference.policy.rollout.facts import Facts
from inference.policy.rollout.machine import LOOK_GAP_S
from inference.policy.rollout.plan import list_rungs
from inference.spec import (
    Artifact,
    Format,
    Guard,
    Intent,
    IntentAction,
    ModelSpec,
    RolloutPlan,
    Signature,
    Step,
    Traffic,
    Unit,
    Version,
    Weight,
)
from inference.status import Phase, Progress

STABLE, CANARY, OTHER = 1, 2, 3
NOW_S = 1_000.0
ANSWERED = 0  # generation of an intent that was answered before
BOTH = frozenset({STABLE, CANARY})
BETTER = Verdict(kind=Kind.ADVANCE)
UNSURE = Verdict(kind=Kind.HOLD)
WORSE = Verdict(
    kind=Kind.ROLL_BACK,
    guard="error_rate",
    evidence=(Evidence("error_rate", 9.8, 9.8, 4.6, 5e-5, canary_units=5, control_units=0),),
)
ERRORS = (Guard(metric="error_rate", limit=1.0),)


def make_plan(*percents: float, **fields: object) -> RolloutPlan:
    """Steps of 5 s, which is one look at most; all guarded."""
    steps = fields.pop("steps", tuple(Step(percent=percent, bake_s=LOOK_GAP_S) for percent in percents))
    defaults = {"id": "r1", "stable": STABLE, "canary": CANARY, "guards": ERRORS, "warm_s": 60.0, "watch_s": LOOK_GAP_S}
    return RolloutPlan(steps=steps, **{**defaults, **fields})


def make_version(number: int) -> Version:
    digest = f"{number:064x}"
    return Version(
        number=number, digest=digest, format=Format.ONNX, artifact=Artifact(digest=digest, files=(), store="file:///x"),
        signature=Signature(inputs=(), outputs=()), stages=(), units=(Unit(name="main", stages=()),),
    )  # fmt: skip


def make_model(plan: RolloutPlan | None = None, weights: dict[int, float] | None = None, **fields: object) -> ModelSpec:
    shares = tuple(Weight(version=number, percent=share) for number, share in (weights or {STABLE: 100.0}).items())
    defaults = {"name": "m", "epoch": "e", "generation": 1, "traffic": Traffic(weights=shares, salt="own")}
    versions = (make_version(STABLE), make_version(CANARY), make_version(OTHER))
    return ModelSpec(versions=versions, rollout=plan, **{**defaults, **fields})


def make_intent(action: str, generation: int = 1, **fields: object) -> Intent:
    defaults = {"rollout": "r1", "epoch": "e", "by": "ana"}
    return Intent(action=IntentAction(action), generation=generation, **{**defaults, **fields})


def make_progress(plan: RolloutPlan, phase: Phase = Phase.PENDING, **fields: object) -> Progress:
    return Progress(plan=plan, phase=phase, **{"intent_epoch": "e", "seen_s": NOW_S, **fields})


def make_facts(**fields: object) -> Facts:
    return Facts(**{"now_s": NOW_S, "ready": BOTH, "able": BOTH, "verdict": UNSURE, **fields})


# The search

Look = Callable[[Progress, Facts], Progress]
Promise = Callable[[Progress, Facts, Progress], bool]
TIMED = {Phase.WARMING, Phase.BAKING, Phase.WATCHING}  # whose time some rule reads
READINESS = [
    (frozenset(ready), frozenset(able))
    for ready, able in [((), ()), ((1,), (1,)), ((2,), ()), ((2,), (2,)), ((1, 2), (1,)), ((1, 2), (1, 2))]
]


def list_facts(plan: RolloutPlan, step: int) -> list[Facts]:
    """Every fact that a rule tells from another, in every combination, with every intent."""
    intents = [None, *(make_intent(action.value) for action in IntentAction)]
    intents += [make_intent("advance", epoch="restored"), make_intent("pause", epoch="restored")]
    intents += [make_intent("promote", step=step + 1), make_intent("abort", rollout="another")]
    intents += [make_intent("advance", ANSWERED), make_intent("abort", ANSWERED)]
    exposures = (0, plan.max_exposed) if plan.max_exposed else (0,)
    return [
        Facts(now_s=NOW_S + passed_s, ready=ready, able=able, verdict=verdict, exposed=exposed, frozen_until_s=until_s,
              intent=intent)
        for passed_s, (ready, able), verdict, exposed, until_s, intent in product(
            (0.0, LOOK_GAP_S), READINESS, (UNSURE, BETTER, WORSE), exposures, (None, 9e9), intents
        )
    ]  # fmt: skip


def reduce(progress: Progress) -> Progress:
    """The state without what no rule reads."""
    timed = progress.interrupted or progress.phase
    clock_s = min(progress.phase_s, 2 * LOOK_GAP_S) if timed in TIMED else 0.0
    return replace(
        progress, waits=None, reason="", answer="", thresholds=(), seen_s=NOW_S, active_s=0.0, intent=ANSWERED,
        intent_epoch="e", phase_s=clock_s,
    )  # fmt: skip


class Broken(AssertionError):
    """A look that broke a promise."""


class Graph:
    """All states that a plan can come to, and from each the states after one look.

    Raises Broken, with the way that led there, at the first look that breaks one of the promises.
    """

    def __init__(self, plan: RolloutPlan, look: Look, promises: Sequence[Promise] = ()):
        self.plan = plan
        self.states: list[Progress] = []
        self.number: dict[Progress, int] = {}
        self.after: list[set[int]] = []
        self.came_from: dict[int, tuple[int, Facts]] = {}
        self.looks = 0
        facts = [list_facts(plan, step) for step in range(len(list_rungs(plan)) + 1)]
        waiting = deque([self.add(reduce(make_progress(plan)))])
        while waiting:
            here = waiting.popleft()
            before = self.states[here]
            for seen in facts[before.step]:
                self.looks += 1
                found = look(before, seen)
                for promise in promises:
                    if not promise(before, seen, found):
                        raise Broken(f"{promise.__name__}: {self.tell(here)}\n  {show(seen)}\n→ {show(found)}")
                there = self.number.get(reduced := reduce(found))
                if there is None:
                    there = self.add(reduced)
                    self.came_from[there] = here, seen
                    waiting.append(there)
                self.after[here].add(there)

    def add(self, progress: Progress) -> int:
        self.states.append(progress)
        self.after.append(set())
        return self.number.setdefault(reduce(progress), len(self.states) - 1)

    def tell(self, number: int) -> str:
        """How a state is come to."""
        lines = [show(self.states[number])]
        while number in self.came_from:
            number, facts = self.came_from[number]
            lines += [f"  {show(facts)}", show(self.states[number])]
        return "\n".join(reversed(lines))

    def list_reaching(self, goals: set[int]) -> set[int]:
        """The states from which one of the goals can be come to."""
        before: dict[int, set[int]] = {}
        for here, after in enumerate(self.after):
            for there in after:
                before.setdefault(there, set()).add(here)
        found, waiting = set(goals), deque(goals)
        while waiting:
            for here in before.get(waiting.popleft(), set()) - found:
                found.add(here)
                waiting.append(here)
        return found


def show(value: Progress | Facts) -> str:
    """What differs from the usual."""
    left_out = {"plan", "intent_epoch", "seen_s", "evidence", "wanting"}
    parts = []
    for name in value.__struct_fields__:
        item = getattr(value, name)
        if name in left_out or item in (None, "", (), 0, False, frozenset()):
            continue
        text = item.kind.value if isinstance(item, Verdict) else item.action.value if isinstance(item, Intent) else item
        parts.append(f"{name}={getattr(text, 'value', text)}")
    return ", ".join(parts)
