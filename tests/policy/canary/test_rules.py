import math

import pytest

from inference.errors import BadDocument
from inference.policy.canary.rules import Metric, make_rules
from inference.spec import Assignment, Guard, RolloutPlan, decode, encode

ALL = [
    Guard(metric="error_rate", limit=1.0),
    Guard(metric="latency", limit=1.1),
    Guard(metric="latency", limit=1.5, quantile=0.99),
    Guard(metric="slo_error_rate", limit=5.0),
    Guard(metric="slo_latency", limit=0.5),
    Guard(metric="invalid_output", limit=1.0),
]


def test_one_budget_is_split_over_all_guards():
    rules = make_rules(ALL, 0.01, Assignment.KEY)
    assert sum(rule.share for rule in rules.guards) == pytest.approx(1)
    assert rules.sticky
    assert rules.log_needed == pytest.approx(math.log(100))
    alone = make_rules(ALL[:1])
    assert [rule.share for rule in alone.guards] == [1.0]


def test_names_say_the_quantile_where_one_is_singled_out():
    assert [rule.name for rule in make_rules(ALL).guards] == [
        "error_rate", "latency", "latency@0.99", "slo_error_rate", "slo_latency@0.95", "invalid_output",
    ]  # fmt: skip


def test_objectives_allow_a_share_of_bad_units():
    shares = {rule.metric: rule.bad_share for rule in make_rules(ALL).guards}
    assert shares[Metric.SLO_ERROR_RATE] == pytest.approx(0.05)
    assert shares[Metric.SLO_LATENCY] == pytest.approx(0.05)


def test_a_plan_without_guards_has_rules_without_guards():
    assert make_rules([]).guards == ()


@pytest.mark.parametrize(
    "guards, why",
    [
        ([Guard(metric="mood", limit=1.0)], "Known: error_rate"),
        ([Guard(metric="error_rate", limit=0.0)], "over 0"),
        ([Guard(metric="latency", limit=math.nan)], "over 0"),
        ([Guard(metric="latency", limit=1.0, quantile=1.0)], "quantile"),
        ([Guard(metric="slo_error_rate", limit=100.0)], "never be exceeded"),
        ([Guard(metric="error_rate", limit=1.7e308)], "ratio is from"),
        ([Guard(metric="latency", limit=5e-324)], "ratio is from"),
        ([Guard(metric="slo_error_rate", limit=1e-318)], "too near to none"),
        ([Guard(metric="slo_error_rate", limit=math.nextafter(100.0, 0.0))], "too near to none or all"),
        ([Guard(metric="slo_latency", limit=1.0, quantile=1e-17)], "too near to none or all"),
        ([Guard(metric="latency", limit=1.0), Guard(metric="latency", limit=2.0)], "once"),
    ],
)
def test_guards_that_cannot_be_are_refused_by_name(guards: list[Guard], why: str):
    with pytest.raises(ValueError, match=why):
        make_rules(guards)


@pytest.mark.parametrize(
    "alpha, beta", [(0.0, 0.05), (5e-324, 0.05), (math.nextafter(1.0, 0.0), 0.05), (1.0, 0.05), (0.01, math.nan)]
)
def test_chances_are_neither_nothing_nor_a_coin_toss(alpha: float, beta: float):
    with pytest.raises(ValueError, match=r"chances from 1e-12 to 0\.5"):
        make_rules(ALL, alpha, beta=beta)


def test_a_plan_as_strict_or_lax_as_it_may_be_has_rules():
    for alpha in (1e-12, 0.5):
        plan = decode(encode(RolloutPlan(id="r", stable=1, canary=2, steps=(), alpha=alpha)), RolloutPlan)
        assert make_rules(ALL, plan.alpha).log_needed > 0.0
    for alpha in ("5e-324", "0.9999999999999999"):
        with pytest.raises(BadDocument, match="alpha"):
            decode(f'{{"id": "r", "stable": 1, "canary": 2, "steps": [], "alpha": {alpha}}}', RolloutPlan)
