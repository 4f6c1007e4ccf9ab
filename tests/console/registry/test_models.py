"""Models and versions: what may be done, what is refused, and what the record says of it."""

from collections.abc import Callable
from typing import Any

import pytest

from console.accounts.models import AuditEvent
from console.lib.actors import SYSTEM
from console.lib.errors import AlreadyExists, Conflict, Invalid, InvalidTransition, Missing, NotAllowed, StaleWrite
from console.registry import selectors, services, store
from console.registry.choices import VersionState
from console.serving import services as serving

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["", "A", "-x", "a b", "ä", "x" * 64, "a/b", "../x", "a\n"])
def test_a_name_that_is_no_address_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="cannot be a model's name"):
        services.create_model(name=name, actor=SYSTEM)


def test_a_name_is_given_once(make_model: Callable[..., Any]) -> None:
    make_model("minilm-2.0_x")
    with pytest.raises(AlreadyExists):
        make_model("minilm-2.0_x")


def test_a_change_writes_what_was_and_what_is(model: Any, operator: Any) -> None:
    services.update_model(model=model, changes={"owner": "Search", "tags": ["b", " a ", "b"]}, seen=1, actor=operator)
    event = AuditEvent.objects.order_by("-number").first()
    assert (event.action, event.subject, event.actor_name) == ("model.update", "model/echo", "omar")
    assert event.before == {"owner": "", "tags": []}
    assert event.after == {"owner": "Search", "tags": ["a", "b"]}


def test_a_change_based_on_an_older_state_is_refused_and_changes_nothing(model: Any) -> None:
    services.update_model(model=model, changes={"owner": "first"}, seen=1, actor=SYSTEM)
    with pytest.raises(StaleWrite):
        services.update_model(model=model, changes={"owner": "second"}, seen=1, actor=SYSTEM)
    assert selectors.get_model("echo").owner == "first"


@pytest.mark.parametrize(
    "changes",
    [
        {"slo_latency_p95_s": 0},
        {"slo_error_percent": 101},
        {"tags": ["x" * 41]},
        {"description": "x" * 10_001},
        {"name": "other"},
    ],
)
def test_values_out_of_bounds_are_refused_by_name(changes: dict, model: Any) -> None:
    with pytest.raises(Invalid) as refused:
        services.update_model(model=model, changes=changes, seen=1, actor=SYSTEM)
    assert refused.value.faults[0].pointer == f"/{next(iter(changes))}"


def test_numbers_ascend_and_are_never_given_again(model: Any, make_version: Callable[..., Any]) -> None:
    first, second = make_version(model), make_version(model)
    services.delete_version(version=second, seen=second.row_version, actor=SYSTEM)
    assert (first.number, make_version(model).number) == (1, 3)


@pytest.mark.parametrize("reference", ["1", "v1", "V1", "champion", "Champion"])
def test_a_version_is_found_by_number_and_alias(reference: str, model: Any, make_version: Callable[..., Any]) -> None:
    version = make_version(model)
    services.set_alias(model=model, name="champion", to=version, seen=0, actor=SYSTEM)
    assert selectors.resolve_version(model, reference) == version


def test_latest_is_the_newest_ready_version(model: Any, make_version: Callable[..., Any]) -> None:
    with pytest.raises(Missing):
        selectors.resolve_version(model, "latest")
    ready = make_version(model)
    services.add_version(model=model, format="onnx", actor=SYSTEM, source="upload")
    assert selectors.resolve_version(model, "LATEST") == ready


def test_formats_that_run_code_take_the_right_and_the_word(
    model: Any, operator: Any, make_user: Callable[..., Any]
) -> None:
    trusted = make_user("nora", "operator", native=True)
    with pytest.raises(NotAllowed, match="native"):
        services.add_version(model=model, format="pt2", actor=operator, source="upload", native=True)
    with pytest.raises(Invalid, match="native=true"):
        services.add_version(model=model, format="pt2", actor=trusted, source="upload")
    version = services.add_version(model=model, format="pt2", actor=trusted, source="upload", native=True)
    assert version.native_by == "nora"


def test_files_go_with_the_last_version_that_has_them(make_model: Callable, make_version: Callable[..., Any]) -> None:
    here = make_version(make_model("one"), b"shared bytes")
    there = make_version(make_model("two"), b"shared bytes")
    assert here.artifact == there.artifact
    blob = store.blob_path(here.artifact.files.get().sha256)
    services.delete_version(version=here, seen=here.row_version, actor=SYSTEM)
    assert blob.exists()


@pytest.mark.django_db(transaction=True)
def test_a_deleted_versions_files_are_removed_from_disk(model: Any, make_version: Callable[..., Any]) -> None:
    version = make_version(model)
    blob = store.blob_path(version.artifact.files.get().sha256)
    assert blob.read_bytes() == b"echo 1"
    services.delete_version(version=version, seen=version.row_version, actor=SYSTEM)
    assert not blob.exists()


@pytest.mark.parametrize("use", ["traffic", "alias", "pin"])
def test_a_live_version_is_neither_deleted_nor_archived(use: str, model: Any, make_version: Callable[..., Any]) -> None:
    version = make_version(model)
    if use == "traffic":
        serving.set_traffic(model=model, weights={1: 100}, seen=0, actor=SYSTEM)
    elif use == "alias":
        services.set_alias(model=model, name="mine", to=version, seen=0, actor=SYSTEM)
    else:
        serving.keep_loaded(version=version, actor=SYSTEM)
    for act in (services.delete_version, services.archive_version):
        with pytest.raises(Conflict, match="is live"):
            act(version=version, seen=version.row_version, actor=SYSTEM)


def test_an_archived_version_gets_no_traffic_until_it_is_restored(model: Any, make_version: Callable[..., Any]) -> None:
    version = services.archive_version(version=make_version(model), seen=3, actor=SYSTEM)
    with pytest.raises(Conflict, match="archived"):
        serving.set_stable_version(model=model, to=version, seen=0, actor=SYSTEM)
    version = services.restore_version(version=version, seen=version.row_version, actor=SYSTEM)
    assert version.state == VersionState.READY
    serving.set_stable_version(model=model, to=version, seen=0, actor=SYSTEM)


def test_an_archived_model_takes_no_versions(model: Any) -> None:
    serving.archive_model(model=model, seen=1, actor=SYSTEM)
    with pytest.raises(InvalidTransition, match="archived"):
        services.add_version(model=model, format="onnx", actor=SYSTEM, source="upload")
