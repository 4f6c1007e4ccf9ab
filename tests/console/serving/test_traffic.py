"""Traffic moves by compare-and-set, whole or not at all, and what was moved can be moved back."""

from collections.abc import Callable
from typing import Any

import pytest

from console.accounts.models import AuditEvent
from console.lib.actors import SYSTEM
from console.lib.errors import Conflict, Invalid, Missing, StaleWrite
from console.registry import services as registry
from console.registry.selectors import stable_version
from console.serving import services
from console.serving.selectors import live_versions, traffic_of

pytestmark = pytest.mark.django_db


def split(model: Any) -> dict[int, float]:
    return {row.version.number: row.percent for row in traffic_of(model).weights}


def test_the_stable_version_gets_all_traffic_and_the_alias(model: Any, make_version: Callable) -> None:
    first, second = make_version(model), make_version(model)
    change = services.set_stable_version(model=model, to=first, seen=0, actor=SYSTEM)
    assert (split(model), stable_version(model)) == ({1: 100.0}, first)
    assert (change.stable_before, change.moved_percent) == (None, 100.0)
    change = services.set_stable_version(model=model, to=second, seen=change.row_version, actor=SYSTEM, reason="better")
    assert (split(model), stable_version(model)) == ({2: 100.0}, second)
    assert (change.before, change.stable_before) == ({1: 100.0}, 1)
    event = AuditEvent.objects.filter(action="traffic.set_stable").order_by("-number").first()
    assert event.before == {"weights": {"v1": 100.0}, "stable": 1}
    assert (event.after, event.reason) == ({"weights": {"v2": 100.0}, "stable": 2}, "better")


def test_undo_is_the_same_call_with_what_was_before(model: Any, make_version: Callable) -> None:
    first, second = make_version(model), make_version(model)
    begun = services.set_stable_version(model=model, to=first, seen=0, actor=SYSTEM)
    moved = services.set_stable_version(model=model, to=second, seen=begun.row_version, actor=SYSTEM)
    services.set_stable_version(model=model, to=first, seen=moved.row_version, actor=SYSTEM)
    assert (split(model), stable_version(model)) == ({1: 100.0}, first)


def test_two_people_do_not_overwrite_each_other(model: Any, make_version: Callable) -> None:
    first, second = make_version(model), make_version(model)
    services.set_stable_version(model=model, to=first, seen=0, actor=SYSTEM)
    with pytest.raises(StaleWrite):
        services.set_stable_version(model=model, to=second, seen=0, actor=SYSTEM)
    assert (split(model), stable_version(model)) == ({1: 100.0}, first)


@pytest.mark.parametrize(
    "weights, error",
    [
        ({1: 60, 2: 30}, Invalid),
        ({1: 101}, Invalid),
        ({1: -1, 2: 101}, Invalid),
        ({1: float("nan")}, Invalid),
        (dict.fromkeys(range(1, 11), 10), Invalid),
        ({9: 100}, Missing),
        ({3: 100}, Conflict),  # still waits for its validation
    ],
)
def test_weights_that_cannot_be_right_change_nothing(
    weights: dict, error: type[Exception], model: Any, make_version: Callable
) -> None:
    make_version(model)
    make_version(model)
    registry.add_version(model=model, format="onnx", actor=SYSTEM, source="upload")
    services.set_traffic(model=model, weights={1: 100}, seen=0, actor=SYSTEM)
    with pytest.raises(error):
        services.set_traffic(model=model, weights=weights, seen=1, actor=SYSTEM)
    assert split(model) == {1: 100.0}


def test_weights_sum_to_100_or_there_are_none(model: Any, make_version: Callable) -> None:
    make_version(model)
    make_version(model)
    change = services.set_traffic(model=model, weights={1: 90, 2: 10}, seen=0, actor=SYSTEM, assignment="key")
    assert (split(model), traffic_of(model).assignment) == ({1: 90.0, 2: 10.0}, "key")
    services.set_traffic(model=model, weights={}, seen=change.row_version, actor=SYSTEM)
    assert not traffic_of(model).serving


def test_a_dry_run_says_what_would_move_and_moves_nothing(model: Any, make_version: Callable) -> None:
    first, second = make_version(model), make_version(model)
    services.set_stable_version(model=model, to=first, seen=0, actor=SYSTEM)
    change = services.set_traffic(model=model, weights={1: 75, 2: 25}, seen=1, actor=SYSTEM, dry_run=True)
    assert (change.moved_percent, split(model)) == (25.0, {1: 100.0})
    services.set_stable_version(model=model, to=second, seen=1, actor=SYSTEM, dry_run=True)
    assert stable_version(model) == first


def test_live_is_what_has_traffic_an_alias_or_is_kept_loaded(model: Any, make_version: Callable) -> None:
    versions = [make_version(model) for _ in range(4)]
    services.set_stable_version(model=model, to=versions[0], seen=0, actor=SYSTEM)
    registry.set_alias(model=model, name="mine", to=versions[1], seen=0, actor=SYSTEM)
    services.keep_loaded(version=versions[2], actor=SYSTEM)
    assert [version.number for version in live_versions(model)] == [1, 2, 3]
    services.release_version(version=versions[2], actor=SYSTEM)
    assert [version.number for version in live_versions(model)] == [1, 2]


@pytest.mark.parametrize("use", ["traffic", "alias"])
def test_what_serves_is_not_unloaded(use: str, model: Any, make_version: Callable) -> None:
    version = make_version(model)
    if use == "traffic":
        services.set_traffic(model=model, weights={1: 100}, seen=0, actor=SYSTEM)
    else:
        registry.set_alias(model=model, name="mine", to=version, seen=0, actor=SYSTEM)
    with pytest.raises(Conflict, match="stays loaded"):
        services.release_version(version=version, actor=SYSTEM)


def test_a_model_comes_back_from_the_archive_as_it_was(model: Any, make_version: Callable) -> None:
    make_version(model)
    services.set_traffic(model=model, weights={1: 100}, seen=0, actor=SYSTEM)
    model = services.archive_model(model=model, seen=1, actor=SYSTEM)
    assert not live_versions(model).exists()
    model = services.restore_model(model=model, seen=model.row_version, actor=SYSTEM)
    assert split(model) == {1: 100.0}
    assert live_versions(model).count() == 1


@pytest.mark.parametrize("changes", [{"ttl_s": 0}, {"max_bytes": -1}, {"strategy": "magic"}, {"colour": "red"}])
def test_a_cache_policy_stays_within_its_bounds(changes: dict, model: Any) -> None:
    with pytest.raises(Invalid):
        services.set_cache_policy(model=model, changes=changes, seen=0, actor=SYSTEM)
