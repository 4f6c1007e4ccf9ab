"""The analysis of one canary: every guard of its rollout on one stream of outcomes, and one verdict.

Small, serialisable, and without clock or chance: the same outcomes in the same order give the same bits, and what two
gateways saw apart merges. The controller owns one for each rollout; a gateway may fill a part of it each second.

    analysis = begin(make_rules(plan.guards, plan.alpha, traffic.assignment))
    analysis.begin_step(freeze_sketch(control_bins))       at each step, before its first outcome
    analysis.observe(Outcome(canary=True, weight=0.1, failed=True))
    analysis.verdict()

ROLL_BACK stands once it was reached: evidence that comes later cannot take back that the limit was crossed.
ADVANCE does not: it is given while the evidence for it holds.
"""

import math

import msgspec
from msgspec import Struct

from inference.policy.canary.guard import Guard, Outcome, new_guard, thresholds_of, units_of
from inference.policy.canary.keys import KeysSeen
from inference.policy.canary.promotion import want
from inference.policy.canary.rules import Rules
from inference.policy.canary.thresholds import Thresholds
from inference.policy.canary.verdict import Evidence, Kind, Verdict, Wanting
from inference.policy.canary.wealth import log_sum_exp


class CanaryAnalysis(Struct):
    rules: Rules
    guards: list[Guard]
    met: KeysSeen | None = None  # under sticky routing: keys of which there was a request
    asked: int = 0  # canary requests, one a key under sticky routing
    step: int = -1
    log_e: float = 0.0  # of all guards, by their shares of alpha; under sticky routing of the strongest
    log_peak: float = 0.0
    stopped_by: str = ""  # the guard with the strongest case when the limit was crossed

    def begin_step(self, thresholds: Thresholds | None = None) -> None:
        """The weight is about to rise. `thresholds` are of the control before it; None keeps those of the last step."""
        self.step += 1
        for guard in self.guards:
            guard.begin_step(thresholds)
        self.settle()

    def observe(self, outcome: Outcome) -> None:
        """One outcome, in the order in which they were assigned."""
        first = self.met is None or outcome.key is None or self.met.first(outcome.key)
        self.asked += outcome.canary and first
        moved = False
        for guard in self.guards:
            moved |= guard.observe(outcome, first)
        if moved:
            self.settle()

    def settle(self) -> None:
        cases = [math.log(guard.rule.share) + guard.log_e for guard in self.guards]
        together = max if self.rules.sticky else log_sum_exp
        self.log_e = together(cases) if cases else 0.0
        self.log_peak = max(self.log_peak, self.log_e)
        if not self.stopped_by and self.log_e >= self.rules.log_needed:
            self.stopped_by = self.guards[cases.index(max(cases))].rule.name

    def part(self) -> "CanaryAnalysis":
        """An empty analysis of the same step, for what one gateway sees in its next second; `merge` takes it back.

        Raises ValueError under sticky routing: which outcome is a key's first can be told in one place only, so there
        gateways send the outcomes themselves: failures, and what is the first of a key as far as they know.
        """
        if self.rules.sticky:
            raise ValueError("Under sticky routing evidence does not split by gateway. Send outcomes with their keys.")
        fresh = begin(self.rules)
        for mine, theirs in zip(self.guards, fresh.guards, strict=True):
            theirs.begin_step(thresholds_of(mine.whole))
        fresh.step = self.step
        return fresh

    def merge(self, other: "CanaryAnalysis") -> None:
        """Add a part that saw other outcomes of the same rollout.

        Raises ValueError, and changes nothing, for other rules, another number of thresholds, or a key seen by both.
        """
        if other.rules != self.rules:
            raise ValueError("These two analyses have different rules; only those of one rollout merge.")
        pairs = list(zip(self.guards, other.guards, strict=True))
        if self.met is not None and other.met is not None:
            self.met.check_merge(other.met)
        for mine, theirs in pairs:
            mine.check_merge(theirs)
        for mine, theirs in pairs:
            mine.merge(theirs, same_step=self.step == other.step)
        if self.met is not None and other.met is not None:
            self.met.merge(other.met)
        self.asked += other.asked
        self.settle()

    def verdict(self) -> Verdict:
        evidence = tuple(self.evidence_of(guard) for guard in self.guards)
        wanting = tuple(want(self.guards, self.rules.beta, self.asked))
        needed = self.rules.log_needed
        if self.stopped_by:
            return Verdict(Kind.ROLL_BACK, self.stopped_by, self.log_peak, needed, evidence, wanting)
        short = [item for item in wanting if not item.met]
        if short:
            return Verdict(Kind.HOLD, min(short, key=progress).guard, self.log_e, needed, evidence, wanting)
        return Verdict(Kind.ADVANCE, "", self.log_e, needed, evidence, wanting)

    def evidence_of(self, guard: Guard) -> Evidence:
        canary, control = units_of(guard.whole)
        return Evidence(
            guard=guard.rule.name,
            log_e=guard.log_e,
            log_peak=guard.log_peak,
            log_needed=self.rules.log_needed - math.log(guard.rule.share),
            p_value=min(1.0, math.exp(-guard.log_peak)),
            canary_units=canary,
            control_units=control,
        )


def progress(item: Wanting) -> float:
    return item.log_e / item.log_needed


def begin(rules: Rules) -> CanaryAnalysis:
    """An analysis that has seen nothing. Call `begin_step` before the first outcome."""
    guards = [new_guard(rule, rules.sticky) for rule in rules.guards]
    analysis = CanaryAnalysis(rules, guards, met=KeysSeen() if rules.sticky else None)
    analysis.settle()
    return analysis


def dump(analysis: CanaryAnalysis) -> bytes:
    """JSON; floats keep every bit."""
    return msgspec.json.encode(analysis)


def load(raw: bytes) -> CanaryAnalysis:
    """The inverse of `dump`. Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(raw, type=CanaryAnalysis)
