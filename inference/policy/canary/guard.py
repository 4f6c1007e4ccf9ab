"""One guard's state: a test of the whole rollout, one of this step alone, and one that speaks for promotion.

A test that has long seen a healthy canary has lost most of its capital and would be slow to notice one that turns bad.
So a guard keeps a reserve: at each new step half of what is left of it is staked on a fresh test of that step. The
guard's e-value is the sum of all its capital, which is an e-process again; what a finished step's test has is kept.

**Which units, under sticky routing.** A key is given to an arm once, so once one knows how it fared, it is no longer as
likely as any other to be the canary's.

- Rollback for failures: the first failure of each key, in one test of the whole rollout that is never started again.
  If the canary is no worse than tolerated, its keys fail no sooner than at a canary that is just so bad. At no moment
  has it more failures than that one, and those that come later meet a weight that is no lower (steps rise): each delay
  only lowers the wealth. And of that one's failures the next is the canary's with at most the chance of the bet, since
  its keys are used up no later than the control's; hence limits of 1 or more. A restart would forget the failures that
  a *better* canary was spared and count them when they come late: among keys that never failed too many are hers.
- Promotion for failures: whether the *first request* of a key failed. First failures would speak for a canary that is
  worse, which soon has used up the keys that fail.
- Latency: the answer to the first request of a key. Those are keys whose arm nobody knows yet, at every step.
- Objectives look at no arm but the canary: its first request, or answer, of each key.
"""

import math

from msgspec import Struct

from inference.policy.canary.absolute import UNDER, AbsoluteTest, absolute_test
from inference.policy.canary.errors import FailureTest, failure_test
from inference.policy.canary.keys import KeysSeen
from inference.policy.canary.latency import LatencyTest, latency_test
from inference.policy.canary.rules import FAILURES, RATIOS, Metric, Rule
from inference.policy.canary.thresholds import Thresholds
from inference.policy.canary.wealth import SAFE, comparable, log_sum_exp

RESERVE = 0.05  # the first step pays for it with ln(1/0.95): a tenth of a failure at ten times the errors
LEAST_STAKE = 1e-9  # steps get no test of their own that would start with less: some 25 steps
NO_WORSE = (1.0, 0.8)  # what promotion bets on: as many failures as tolerated, or fewer

Test = FailureTest | LatencyTest | AbsoluteTest


class Outcome(Struct, frozen=True, gc=False):
    """A request whose arm was drawn by chance: not pinned, not sent by a rule, not a shadow copy.

    `weight`     chance that its unit was given to the canary, in force when the arm was drawn (0..1)
    `latency_s`  seconds; None for a request that was not answered well, inf for one that was given up
    `key`        `keys.key_hash` of what sticky routing went by; None where the request itself was drawn
    """

    canary: bool
    weight: float
    failed: bool = False
    invalid: bool = False
    latency_s: float | None = None
    key: int | None = None


class Guard(Struct):
    """`whole` and `mirror` are None for latency until there are thresholds, `mirror` also where nothing is excluded."""

    rule: Rule
    whole: Test | None
    mirror: Test | None
    fresh: Test | None = None  # of this step, from the second on
    keys: KeysSeen | None = None  # those that were evidence; None where it does not take a key's history to tell
    reserve: float = RESERVE  # 0 where steps have no test of their own
    stake: float = 0.0  # what `fresh` started with
    banked: float = 0.0  # what finished steps' tests ended with
    unspent: float = RESERVE
    log_e: float = 0.0
    log_peak: float = 0.0
    weight: float = 0.0  # of the last evidence that compares

    def observe(self, outcome: Outcome, first: bool = True) -> bool:
        """Take in what of an outcome is evidence here. False where nothing is.

        `first`: this is the first request of its key, or was drawn by itself.
        """
        if self.whole is None or not is_evidence(self.rule.metric, outcome):
            return False
        against = first if self.keys is None or outcome.key is None else self.keys.first(outcome.key)
        speaks = first if self.rule.metric in FAILURES else against
        if not (against or speaks):
            return False
        if comparable(outcome.weight):
            self.weight = outcome.weight
        for test, told in ((self.whole, against), (self.fresh, against), (self.mirror, speaks)):
            if test is not None and told:
                tell(test, self.rule, outcome)
        self.settle()
        return True

    def settle(self) -> None:
        if self.whole is None:
            return
        idle = self.banked + self.unspent
        self.log_e = log_sum_exp(
            (
                math.log1p(-self.reserve) + self.whole.wealth.log_e,
                math.log(idle) if idle > 0.0 else -math.inf,
                math.log(self.stake) + self.fresh.wealth.log_e if self.fresh is not None else -math.inf,
            )
        )
        self.log_peak = max(self.log_peak, self.log_e)

    def begin_step(self, thresholds: Thresholds | None) -> None:
        """Start a step's own test, and freeze new thresholds where there are some."""
        first = self.fresh is None and self.whole_units == 0
        if self.fresh is not None:
            self.banked += self.stake * math.exp(min(self.fresh.wealth.log_e, SAFE))
            self.fresh, self.stake = None, 0.0
        if thresholds is not None and self.rule.metric is Metric.LATENCY:
            self.refreeze(thresholds.only(self.rule.quantile) if self.rule.quantile else thresholds)
        if self.whole is not None and not first and self.unspent / 2.0 >= LEAST_STAKE:
            self.stake = self.unspent / 2.0
            self.unspent -= self.stake
            self.fresh = fresh_test(self.rule, thresholds_of(self.whole))
        self.settle()

    def refreeze(self, thresholds: Thresholds) -> None:
        for test in (self.whole, self.mirror):
            if isinstance(test, LatencyTest):
                test.refreeze(thresholds)
        if self.whole is None:
            self.whole, self.mirror = fresh_test(self.rule, thresholds), mirror_test(self.rule, thresholds)

    @property
    def whole_units(self) -> int:
        return sum(units_of(self.whole))

    def check_merge(self, other: "Guard") -> None:
        """Raise ValueError where `merge` would be wrong; nothing has changed then."""
        if other.rule != self.rule:
            raise ValueError(f"Guard {other.rule.name} cannot be merged into {self.rule.name}: their rules differ.")
        mine, theirs = thresholds_of(self.whole), thresholds_of(other.whole)
        if theirs is not None and (mine is None or cells_of(self.whole) != cells_of(other.whole)):
            raise ValueError(f"Guard {self.rule.name}: the other side has other thresholds. Take a new part.")
        if self.keys is not None and other.keys is not None:
            self.keys.check_merge(other.keys)

    def merge(self, other: "Guard", same_step: bool) -> None:
        """Add a disjoint stream's evidence; of another step, to the whole only. See `check_merge` first."""
        if other.keys is not None and self.keys is not None:
            self.keys.merge(other.keys)
        pairs = [(self.whole, other.whole), (self.mirror, other.mirror)]
        if same_step:
            pairs.append((self.fresh, other.whole))
        for mine, theirs in pairs:
            if mine is not None and theirs is not None:
                merge_tests(mine, theirs)
        if comparable(other.weight):
            self.weight = other.weight
        self.settle()


def new_guard(rule: Rule, sticky: bool) -> Guard:
    """A guard that has seen nothing."""
    guard = Guard(rule, fresh_test(rule, None), mirror_test(rule, None))
    if sticky and rule.metric is not Metric.LATENCY:
        guard.keys = KeysSeen()
    if sticky and rule.metric in FAILURES:
        guard.reserve = guard.unspent = 0.0
    return guard


def is_evidence(metric: Metric, outcome: Outcome) -> bool:
    """Whether the metric looks at this outcome. NaN, a latency under 0, a weight of 0 or 1 are evidence of nothing."""
    if metric in RATIOS:
        if not comparable(outcome.weight):
            return False
    elif not outcome.canary:
        return False
    if metric is Metric.ERROR_RATE:
        return outcome.failed
    if metric is Metric.INVALID_OUTPUT:
        return outcome.invalid
    if metric is Metric.SLO_ERROR_RATE:
        return True
    return outcome.latency_s is not None and outcome.latency_s >= 0.0


def tell(test: Test, rule: Rule, outcome: Outcome) -> None:
    if isinstance(test, FailureTest):
        test.observe(outcome.canary, outcome.weight)
    elif isinstance(test, LatencyTest):
        test.observe(outcome.canary, outcome.weight, outcome.latency_s or 0.0)
    elif rule.metric is Metric.SLO_LATENCY:
        test.observe((outcome.latency_s or 0.0) > rule.limit)
    else:
        test.observe(outcome.failed)


def fresh_test(rule: Rule, thresholds: Thresholds | None) -> Test | None:
    """The rollback's test of a guard, with nothing seen; None for latency without thresholds."""
    if rule.metric is Metric.LATENCY:
        return latency_test(thresholds, rule.limit) if thresholds is not None else None
    if rule.metric in RATIOS:
        return failure_test(rule.limit)
    return absolute_test(rule.bad_share)


def mirror_test(rule: Rule, thresholds: Thresholds | None) -> Test | None:
    """The promotion's test; None where ADVANCE needs no evidence from this guard, or cannot have any yet."""
    if rule.metric is Metric.SLO_ERROR_RATE:
        return absolute_test(rule.bad_share, UNDER)
    if rule.excluded is None:
        return None
    if rule.metric is Metric.LATENCY:
        return latency_test(thresholds, rule.excluded, slower=False) if thresholds is not None else None
    grid = tuple(step * rule.limit / rule.excluded for step in NO_WORSE)
    return failure_test(rule.excluded, grid, (0.5, 0.5))


def thresholds_of(test: Test | None) -> Thresholds | None:
    return test.thresholds if isinstance(test, LatencyTest) else None


def cells_of(test: Test | None) -> int:
    return len(test.wealth.logs) if test is not None else 0


def units_of(test: Test | None) -> tuple[int, int]:
    """Units of evidence of the canary and of the control."""
    if test is None:
        return 0, 0
    if isinstance(test, AbsoluteTest):
        return test.good + test.bad, 0
    return test.canary, test.control


def merge_tests(mine: Test, theirs: Test) -> None:
    match mine, theirs:
        case FailureTest() as test, FailureTest() as part:
            test.merge(part)
        case LatencyTest() as measured, LatencyTest() as also:
            measured.merge(also)
        case AbsoluteTest() as counted, AbsoluteTest() as more:
            counted.merge(more)
        case _:
            raise ValueError(f"A {type(theirs).__name__} cannot be merged into a {type(mine).__name__}.")
