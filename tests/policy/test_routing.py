from itertools import pairwise
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import NotReady, VersionNotFound
from inference.policy.routing import Facts, choose_version, mix_salt, prepare, sticky_point
from inference.spec import (
    Artifact,
    Assignment,
    Format,
    ModelSpec,
    RolloutPlan,
    Rule,
    Signature,
    Step,
    Traffic,
    Unit,
    Version,
    Weight,
)
from inference.status import Effective


def version(number: int) -> Version:
    digest = f"{number:064x}"
    return Version(
        number=number, digest=digest, format=Format.ONNX, artifact=Artifact(digest=digest, files=(), store="file:///x"),
        signature=Signature(inputs=(), outputs=()), stages=(), units=(Unit(name="main", stages=()),),
    )  # fmt: skip


def model(*weights: tuple[int, float], **fields: object) -> ModelSpec:
    traffic = fields.pop("traffic", {})
    return ModelSpec(
        name="m", epoch="e", generation=1, versions=(version(1), version(2), version(3)),
        aliases={"stable": 1, "gone": 9},
        traffic=Traffic(weights=tuple(Weight(version=v, percent=p) for v, p in weights), **traffic), **fields,
    )  # fmt: skip


def effective(*weights: tuple[int, float], **fields: object) -> Effective:
    shares = tuple(Weight(version=v, percent=p) for v, p in weights)
    return Effective(name="m", epoch="e", generation=1, fence=1, weights=shares, **fields)


@pytest.mark.parametrize(
    "facts, u, expected",
    [
        (Facts(), 0.0, (2, "weighted")),
        (Facts(), 0.29, (2, "weighted")),
        (Facts(), 0.31, (1, "weighted")),
        (Facts(), 0.999999, (1, "weighted")),
        (Facts(pinned="3"), 0.0, (3, "pinned")),
        (Facts(pinned="stable"), 0.0, (1, "alias")),
        (Facts(pinned="Stable"), 0.0, (1, "alias")),
        (Facts(headers={b"x-team": b"blue"}), 0.9, (3, "rule")),
        (Facts(headers={b"x-team": b"red"}), 0.9, (1, "weighted")),
        (Facts(api_key="k7"), 0.9, (2, "rule")),
        (Facts(pinned="1", api_key="k7"), 0.9, (1, "pinned")),
    ],
)
def test_a_pin_wins_over_rules_and_rules_over_weights(facts: Facts, u: float, expected: tuple[int, str]) -> None:
    rules = (Rule(version=3, header="X-Team", equals="blue"), Rule(version=2, api_key="k7"))
    table = prepare(model((1, 70), (2, 30), traffic={"rules": rules}), None)
    choice = choose_version(table, facts, u)
    assert (choice.version, choice.reason) == expected


@pytest.mark.parametrize("pinned", ["7", "gone", "champion"])
def test_a_pin_that_is_not_live_is_not_found(pinned: str) -> None:
    with pytest.raises(VersionNotFound, match=pinned):
        choose_version(prepare(model((1, 100)), None), Facts(pinned=pinned), 0.0)


def test_without_traffic_a_model_is_not_ready_but_its_versions_can_be_called() -> None:
    table = prepare(model(), None)
    with pytest.raises(NotReady):
        choose_version(table, Facts(), 0.5)
    assert choose_version(table, Facts(pinned="2"), 0.5).version == 2


def test_the_weights_in_force_are_the_controllers() -> None:
    table = prepare(model((1, 100)), effective((2, 100)))
    assert choose_version(table, Facts(), 0.5).version == 2


def test_weights_of_versions_that_are_gone_fall_to_the_others() -> None:
    assert choose_version(prepare(model((1, 100)), effective((9, 50), (2, 50))), Facts(), 0.01).version == 2
    assert choose_version(prepare(model((1, 100)), effective((9, 100))), Facts(), 0.01).version == 1


def rolling(percent: float) -> tuple[ModelSpec, Effective]:
    plan = RolloutPlan(id="r", stable=1, canary=2, steps=(Step(percent=percent, bake_s=1),))
    spec = model((1, 100), rollout=plan, traffic={"assignment": Assignment.KEY})
    return spec, effective((1, 100 - percent), (2, percent), salt="s")


def test_raising_a_canarys_percent_moves_nobody_back() -> None:
    keys = [f"user-{number}" for number in range(2_000)]
    before: set[str] = set()
    for percent in (1, 5, 20, 50, 99):
        table = prepare(*rolling(percent))
        on_canary = {key for key in keys if choose_version(table, Facts(canary_key=key), 0.0).version == 2}
        assert before <= on_canary
        assert abs(len(on_canary) / len(keys) - percent / 100) < 0.03
        before = on_canary


def test_a_key_stays_where_it_is_whatever_the_chance() -> None:
    table = prepare(*rolling(50))
    for key in ("a", "b", "c", "d"):
        chosen = {choose_version(table, Facts(canary_key=key), u / 10).version for u in range(10)}
        assert len(chosen) == 1
    assert choose_version(table, Facts(canary_key="a"), 0.0).reason == "sticky"


def test_the_api_key_stands_in_for_a_missing_canary_key() -> None:
    table = prepare(*rolling(50))
    assert choose_version(table, Facts(api_key="k"), 0.1).reason == "sticky"
    assert choose_version(table, Facts(api_key="k"), 0.1) == choose_version(table, Facts(canary_key="k"), 0.9)


def test_another_salt_deals_the_keys_anew() -> None:
    spec, first = rolling(50)
    second = effective((1, 50), (2, 50), salt="t")
    keys = [f"user-{number}" for number in range(400)]

    def places(force: Effective) -> list[int]:
        table = prepare(spec, force)
        return [choose_version(table, Facts(canary_key=key), 0.0).version for key in keys]

    changed = sum(a != b for a, b in zip(places(first), places(second), strict=True))
    assert 120 < changed < 280


def three(canary: float, older: float, **fields: object) -> tuple[ModelSpec, Effective]:
    """Version 3 is the canary of stable 1, while 2 still answers for some."""
    plan = RolloutPlan(id="r", stable=1, canary=3, steps=(Step(percent=50, bake_s=1),))
    spec = model((1, 100), rollout=plan, traffic={"assignment": Assignment.KEY})
    return spec, effective((1, 100 - canary - older), (2, older), (3, canary), salt="s", **fields)


def test_a_canary_takes_from_stable_and_moves_nobody_between_the_others() -> None:
    keys = [Facts(canary_key=f"user-{number}") for number in range(2_000)]
    tables = [prepare(*three(percent, 20)) for percent in (0, 1, 10, 40, 80)]
    for before, after in pairwise(tables):
        for key in keys:
            old, new = choose_version(before, key, 0.0).version, choose_version(after, key, 0.0).version
            assert old == new or (old, new) == (1, 3)


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.one_of(st.floats(), st.sampled_from([0.0, 100.0, inf, nan, -5.0])), min_size=1, max_size=3),
    u=st.floats(),
)
def test_only_a_version_with_a_positive_finite_weight_is_chosen(weights: list[float], u: float) -> None:
    given_weights = list(enumerate(weights, start=1))
    usable = {number for number, percent in given_weights if 0 < percent < inf}
    table = prepare(model(*given_weights), None)
    if not usable:
        with pytest.raises(NotReady):
            choose_version(table, Facts(), u)
    else:
        assert choose_version(table, Facts(), u).version in usable


@pytest.mark.parametrize("percent, version", [(0.0, 1), (100.0, 2)])
def test_no_weight_is_nobody_and_all_of_it_everybody(percent: float, version: int) -> None:
    table = prepare(*rolling(percent))
    chosen = {choose_version(table, Facts(canary_key=f"user-{number}"), 0.0).version for number in range(500)}
    assert chosen == {version}


@pytest.mark.parametrize("form", ["user-{}", "{:08x}-4b7e", "{}", "tenant/{}/a-rather-long-name-that-never-changes"])
def test_shares_of_keys_are_the_weights_whatever_keys_look_like(form: str) -> None:
    salt = mix_salt("canary-7")
    points = sorted(sticky_point(salt, form.format(number)) for number in range(50_000))
    for weight in (0.01, 0.1, 0.5, 0.9):
        share = sum(point < weight for point in points) / len(points)
        assert abs(share - weight) < 5 * (weight * (1 - weight) / len(points)) ** 0.5  # five standard deviations


def test_users_of_one_canary_are_no_likelier_in_the_next() -> None:
    first, second = mix_salt("one"), mix_salt("two")
    keys = [f"user-{number}" for number in range(20_000)]
    both = sum(sticky_point(first, key) < 0.1 and sticky_point(second, key) < 0.1 for key in keys) / len(keys)
    assert abs(both - 0.01) < 0.005


@given(st.text())
@settings(max_examples=50, deadline=None)
def test_any_text_is_a_key(key: str) -> None:
    assert 0.0 <= sticky_point(mix_salt("s"), key) <= 1.0
