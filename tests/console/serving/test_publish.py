"""What people set reaches Redis as one document a model, on commit, newer each time, a tombstone at the end."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from console.lib.actors import SYSTEM
from console.lib.outbox import sweep_outbox
from console.registry import services as registry
from console.serving import services
from inference import spec
from inference.policy.units import check_units

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def published(valkey: str) -> Callable[[str], spec.ModelSpec | None]:
    client = redis.Redis.from_url(valkey)

    def read(name: str = "echo") -> spec.ModelSpec | None:
        raw = client.hget(spec.DOCUMENTS.format(kind="spec"), name)
        return spec.decode(raw, spec.ModelSpec) if raw else None

    return read


def test_a_model_without_a_live_version_has_no_news(published: Callable, model: Any, make_version: Callable) -> None:
    make_version(model)
    assert published() is None


def test_the_document_holds_all_that_the_data_plane_needs(
    published: Callable, model: Any, make_version: Callable, settings: Any
) -> None:
    version = make_version(model, b"the file")
    services.set_stable_version(model=model, to=version, seen=0, actor=SYSTEM)
    registry.update_model(model=model, changes={"slo_latency_p95_s": 0.05}, seen=1, actor=SYSTEM)
    services.set_cache_policy(model=model, changes={"enabled": True, "ttl_s": 60.0}, seen=0, actor=SYSTEM)
    document = published()
    (held,) = document.versions
    check_units(held)
    assert (held.number, held.digest, held.format.value) == (1, version.digest, "onnx")
    assert held.artifact.store == settings.ARTIFACT_STORE
    assert held.artifact.digest == spec.artifact_digest(held.artifact.files)
    assert held.digest == spec.version_digest(held.artifact.digest, held.signature, held.stages)
    assert document.aliases == {"stable": 1}
    assert document.traffic.weights == (spec.Weight(version=1, percent=100.0),)
    assert (document.slo.latency_p95_s, document.cache.enabled, document.cache.ttl_s) == (0.05, True, 60.0)


def test_generations_rise_with_each_change_of_this_model_alone(
    published: Callable, make_model: Callable, make_version: Callable
) -> None:
    one, two = make_model("one"), make_model("two")
    for model in (one, two):
        services.set_stable_version(model=model, to=make_version(model), seen=0, actor=SYSTEM)
    before = published("one"), published("two")
    registry.set_alias(model=one, name="mine", to=one.versions.get(), seen=0, actor=SYSTEM)
    assert published("one").generation > before[0].generation
    assert published("two") == before[1]


def test_an_archived_model_is_a_tombstone_and_comes_back(
    published: Callable, model: Any, make_version: Callable
) -> None:
    services.set_stable_version(model=model, to=make_version(model), seen=0, actor=SYSTEM)
    model = services.archive_model(model=model, seen=1, actor=SYSTEM)
    assert (published().deleted, published().versions) == (True, ())
    services.restore_model(model=model, seen=model.row_version, actor=SYSTEM)
    assert (published().deleted, len(published().versions)) == (False, 1)


def test_a_refused_change_publishes_nothing(published: Callable, model: Any, make_version: Callable) -> None:
    version = make_version(model)
    services.set_stable_version(model=model, to=version, seen=0, actor=SYSTEM)
    before = published()
    with pytest.raises(Exception, match="changed meanwhile"):
        services.set_stable_version(model=model, to=version, seen=0, actor=SYSTEM)
    assert published() == before


def test_a_change_made_while_redis_was_away_arrives_with_the_sweep(
    published: Callable, model: Any, make_version: Callable, valkey: str, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    services.set_stable_version(model=model, to=make_version(model), seen=0, actor=SYSTEM)
    assert published() is None
    settings.REDIS_URL = valkey
    sweep_outbox()
    assert published().aliases == {"stable": 1}
