"""An alias is one name for one version: it moves, it has no case, and some names are taken for good."""

from collections.abc import Callable
from typing import Any

import pytest

from console.lib.actors import SYSTEM
from console.lib.errors import Conflict, Invalid, Missing, StaleWrite
from console.registry import selectors, services

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "name", ["latest", "Latest", "v1", "V23", "7", "stable", "STABLE", "", "a b", "ä", "x" * 64, "a.b"]
)
def test_names_that_mean_something_else_are_refused(name: str, model: Any, make_version: Callable[..., Any]) -> None:
    with pytest.raises(Invalid):
        services.set_alias(model=model, name=name, to=make_version(model), seen=0, actor=SYSTEM)


def test_setting_an_alias_again_moves_it_whatever_its_case(model: Any, make_version: Callable[..., Any]) -> None:
    first, second = make_version(model), make_version(model)
    made = services.set_alias(model=model, name="Champion", to=first, seen=0, actor=SYSTEM)
    moved = services.set_alias(model=model, name="champion", to=second, seen=made.row_version, actor=SYSTEM)
    assert (moved.pk, moved.name, moved.version) == (made.pk, "Champion", second)
    assert selectors.list_aliases(model).count() == 1


def test_one_version_carries_many_aliases_and_two_models_may_use_one_name(
    make_model: Callable, make_version: Callable[..., Any]
) -> None:
    for model in (make_model("one"), make_model("two")):
        version = make_version(model)
        for name in ("a", "b"):
            services.set_alias(model=model, name=name, to=version, seen=0, actor=SYSTEM)
        assert {alias.name for alias in version.aliases.all()} == {"a", "b"}


@pytest.mark.parametrize("seen", [0, 7])
def test_a_move_based_on_another_state_is_refused(seen: int, model: Any, make_version: Callable[..., Any]) -> None:
    first, second = make_version(model), make_version(model)
    services.set_alias(model=model, name="mine", to=first, seen=0, actor=SYSTEM)
    with pytest.raises(StaleWrite):
        services.set_alias(model=model, name="mine", to=second, seen=seen, actor=SYSTEM)
    assert selectors.get_alias(model, "mine").version == first


def test_an_alias_names_only_what_can_be_loaded(make_model: Callable, make_version: Callable[..., Any]) -> None:
    model = make_model("one")
    waiting = services.add_version(model=model, format="onnx", actor=SYSTEM, source="upload")
    with pytest.raises(Conflict, match="uploaded"):
        services.set_alias(model=model, name="mine", to=waiting, seen=0, actor=SYSTEM)
    with pytest.raises(Invalid, match="another model"):
        services.set_alias(model=model, name="mine", to=make_version(make_model("two")), seen=0, actor=SYSTEM)


def test_a_deleted_alias_is_said_to_be_missing_with_what_there_is(model: Any, make_version: Callable[..., Any]) -> None:
    version = make_version(model)
    alias = services.set_alias(model=model, name="old", to=version, seen=0, actor=SYSTEM)
    services.set_alias(model=model, name="new", to=version, seen=0, actor=SYSTEM)
    services.delete_alias(alias=alias, seen=alias.row_version, actor=SYSTEM)
    with pytest.raises(Missing, match="it has: new"):
        selectors.get_alias(model, "old")
