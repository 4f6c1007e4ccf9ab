"""What a look at a rollout goes by, and the kinds of phases."""

from collections.abc import Set as AbstractSet

from msgspec import Struct

from inference.policy.canary.verdict import Kind, Verdict
from inference.spec import Intent
from inference.status import Phase, Progress, Threshold

STOPPED = frozenset({Phase.ROLLED_BACK, Phase.ABORTED})
FINAL = STOPPED | {Phase.PROMOTED}
UNJUDGED = Verdict(kind=Kind.HOLD)


class Facts(Struct, frozen=True):
    """What is so at the time of a look."""

    now_s: float  # Unix time; NaN or infinite: no time passed
    ready: AbstractSet[int] = frozenset()  # versions of which each unit has a ready replica
    able: AbstractSet[int] = frozenset()  # those whose ready replicas can carry all of the traffic
    verdict: Verdict = UNJUDGED
    exposed: int = 0  # requests that the canary answered in this rollout; may be lower after a crash
    frozen_until_s: float | None = None  # of `freezes.find_freeze_end`
    intent: Intent | None = None  # the newest about this rollout
    misfit: str = ""  # of `plan.find_fault` or `plan.find_misfit`
    thresholds: tuple[Threshold, ...] = ()  # of stable's latency, once enough of it is known


def is_ready(progress: Progress, facts: Facts) -> bool:
    return progress.plan.canary in facts.ready


def is_proven(progress: Progress, facts: Facts) -> bool:
    """Whether there is evidence in the canary's favour. Without a guard nothing gives any."""
    return bool(progress.plan.guards) and facts.verdict.kind is Kind.ADVANCE


def is_spent(progress: Progress, facts: Facts) -> bool:
    """Whether the canary answered all the requests that it may without evidence in its favour."""
    most = progress.plan.max_exposed
    return most is not None and progress.exposed >= most and not progress.waived and not is_proven(progress, facts)
