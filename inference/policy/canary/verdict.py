"""What the analysis of a canary says, as data: a kind, the guard behind it, and the evidence of every guard.

`ROLL_BACK`  evidence that the canary is worse than a guard tolerates; the chance that a canary which is no worse ever
             gets this verdict, however often one looks, is at most the rollout's alpha, over all guards together.
`ADVANCE`    evidence, for every guard that compares, that the canary is not as much worse as the rollout must exclude;
             where none compares, as many canary units as it takes for a spotless canary to speak for itself.
`HOLD`       neither: `wanting` says of each comparison how much evidence there is and about how much it takes.

Numbers are natural logarithms of e-values: an e-value of 100 is as strong as a p-value of 0.01 that stays valid under
any number of looks. Nothing here depends on the order in which guards are listed.
"""

from enum import Enum

from msgspec import Struct


class Kind(str, Enum):
    ADVANCE = "advance"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """One guard's case against the canary."""

    guard: str  # error_rate | latency | slo_error_rate | invalid_output
    log_e: float  # now
    log_peak: float  # the highest so far: what the p-value is made of
    log_needed: float  # at which this guard alone rolls back: ln(1 / (alpha × its share))
    p_value: float  # always valid: min(1, 1 / highest e-value)
    canary_units: int  # units of evidence: failures, measured latencies or requests, one a key under sticky routing
    control_units: int


class Wanting(Struct, frozen=True, forbid_unknown_fields=True):
    """One comparison on the way to ADVANCE: `have` of about `need` units of evidence."""

    guard: str
    unit: str  # failures | latencies | requests
    have: int
    need: int | None  # None: cannot be told yet, nothing of the kind has been seen
    log_e: float  # for "not as much worse"
    log_needed: float  # ln(1 / beta)
    excluded_ratio: float | None  # ADVANCE excludes this many times the control's; None: it takes so many units only

    @property
    def met(self) -> bool:
        return self.log_e >= self.log_needed


class Verdict(Struct, frozen=True, forbid_unknown_fields=True):
    kind: Kind
    guard: str = ""  # ROLL_BACK: the guard with the strongest case; HOLD: the comparison that is furthest from done
    log_e: float = 0.0  # all guards together by their shares of alpha; under sticky routing the strongest
    log_needed: float = 0.0  # ln(1 / alpha)
    evidence: tuple[Evidence, ...] = ()
    wanting: tuple[Wanting, ...] = ()


def explain(verdict: Verdict) -> str:
    """One sentence for people: what was decided, on which evidence."""
    if verdict.kind is Kind.ROLL_BACK:
        case = next((item for item in verdict.evidence if item.guard == verdict.guard), None)
        if case is None:
            return "Roll back: a guard was broken."
        return (
            f"Roll back: {case.guard} is worse on the canary (always-valid p = {case.p_value:.2g}; "
            f"{case.canary_units} canary and {case.control_units} control units of evidence)."
        )
    if verdict.kind is Kind.ADVANCE:
        excluded = ", ".join(
            f"{item.guard} {item.excluded_ratio:g} times the control's"
            for item in verdict.wanting
            if item.excluded_ratio is not None
        )
        if excluded:
            return f"Advance: the evidence excludes {excluded}."
        seen = ", ".join(f"{item.guard} {item.have} {item.unit}" for item in verdict.wanting)
        return f"Advance: no objective is broken after {seen}." if seen else "Advance: no guard has to be excluded."
    short = [item for item in verdict.wanting if not item.met]
    if not short:
        return "Hold: no guard compares the canary with the control."
    parts = [
        f"{item.guard} {item.have} of about {item.need} {item.unit}"
        if item.need is not None
        else f"{item.guard} {item.have} {item.unit}, too few to say how many it takes"
        for item in short
    ]
    return f"Inconclusive: {'; '.join(parts)}."
