import math
import random

import msgspec
import pytest

from inference.policy.canary.thresholds import QUANTILES, freeze, of_quantiles
from inference.policy.canary.verdict import Kind, explain
from inference.policy.canary.watch import Watch, begin_watch

THRESHOLDS = freeze([place / 1000 for place in range(1, 2001)])


def watched(seed: int, failing: float = 0.01, slowdown: float = 1.0, count: int = 4000) -> Watch:
    """Uniform latencies up to 2 s, as were frozen; it turns bad after half of the requests."""
    chance, watch = random.Random(seed), begin_watch(0.01, THRESHOLDS, count)
    for place in range(count):
        late = place >= count // 2
        failed = chance.random() < (failing if late else 0.01)
        watch.observe(failed, None if failed else chance.uniform(0, 2) * (slowdown if late else 1))
    return watch


def test_a_version_that_stays_well_is_kept():
    assert sum(watched(seed).verdict().kind is Kind.ROLL_BACK for seed in range(20)) <= 1


@pytest.mark.parametrize("fault, guard", [({"failing": 0.1}, "error_rate"), ({"slowdown": 1.5}, "latency")])
def test_a_version_that_turns_bad_is_rolled_back_for_what_turned_bad(fault: dict[str, float], guard: str):
    verdict = watched(1, **fault).verdict()  # type: ignore[arg-type]
    assert (verdict.kind, verdict.guard) == (Kind.ROLL_BACK, guard)
    assert explain(verdict).startswith(f"Roll back: {guard}")
    assert next(case.p_value for case in verdict.evidence if case.guard == guard) <= 0.005


def test_without_latencies_failures_are_watched():
    watch = begin_watch(0.0, None, 100)
    for _ in range(5):
        watch.observe(True, 3.0)
    assert watch.verdict().guard == "error_rate"
    assert watch.slow is None


def test_however_many_fail_before_anybody_looks_the_verdict_is_a_rollback():
    watch = begin_watch(0.001, None, 10_000)
    for _ in range(1000):
        watch.observe(True)
    verdict = watch.verdict()
    assert verdict.kind is Kind.ROLL_BACK
    assert 0.0 <= verdict.evidence[0].p_value < 1e-100
    assert explain(verdict).startswith("Roll back: error_rate")


@pytest.mark.parametrize("latency_s", [None, math.nan, -1.0])
def test_a_latency_that_is_none_is_not_evidence(latency_s: float | None):
    watch = begin_watch(0.01, THRESHOLDS, 100)
    watch.observe(False, latency_s)
    assert watch.slow is not None
    assert watch.slow.units == 0
    assert watch.failures.units == 1


def test_its_state_travels_as_json():
    for watch in (watched(3, count=100), begin_watch(0.5, None, 10)):
        assert msgspec.json.decode(msgspec.json.encode(watch), type=Watch) == watch


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_that_cannot_be_is_refused(share: float):
    with pytest.raises(ValueError, match="share"):
        begin_watch(share, None, 100)


def test_thresholds_come_back_from_the_quantiles_of_a_document():
    assert THRESHOLDS is not None
    again = of_quantiles(THRESHOLDS.at_s)
    assert again.at_s == THRESHOLDS.at_s
    assert again.above == pytest.approx(THRESHOLDS.above, abs=0.001)
    tied = of_quantiles([1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    assert (tied.at_s, tied.above) == ((1.0, 2.0, 3.0), pytest.approx((0.5, 0.1, 0.01)))


@pytest.mark.parametrize("at_s", [[], [2.0] * 6 + [1.0], [math.nan] * 7, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, math.inf]])
def test_quantiles_that_cannot_be_are_refused(at_s: list[float]):
    with pytest.raises(ValueError, match=r"rise|zip"):
        of_quantiles(at_s, QUANTILES[: len(at_s)])
