"""Lists cost the same number of queries however long they are, and say how far each version is loaded."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.db import connection
from django.test.utils import CaptureQueriesContext

from console.fleet.reports import mailbox
from console.lib.actors import SYSTEM
from console.registry import services as registry
from console.registry.selectors import list_models
from console.serving.choices import LoadState
from console.serving.selectors import list_model_rows, list_version_rows
from console.serving.services import keep_loaded, set_stable_version
from inference import spec, status

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_mailbox(valkey: str) -> None:
    mailbox.forget()


@pytest.fixture
def serve(make_model: Callable, make_version: Callable) -> Callable[[str], Any]:
    def call(name: str) -> Any:
        model = make_model(name)
        version = make_version(model)
        make_version(model)
        set_stable_version(model=model, to=version, seen=0, actor=SYSTEM)
        registry.set_alias(model=model, name="mine", to=version, seen=0, actor=SYSTEM)
        return model

    return call


def count_queries(work: Callable[[], Any]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        work()
    return len(captured)


@pytest.mark.parametrize("url", ["/api/v1/models/", "/api/v1/models/one/versions/"])
def test_a_longer_answer_takes_no_more_queries(url: str, serve: Callable, make_version: Callable, api: Any) -> None:
    model = serve("one")
    few = count_queries(lambda: api.get(url))
    for number in range(4):
        serve(f"more-{number}")
        make_version(model)
    assert count_queries(lambda: api.get(url)) == few <= 12


def test_the_pages_rows_do_neither(serve: Callable, make_version: Callable) -> None:
    model = serve("one")
    few = count_queries(lambda: list_model_rows(list_models())), count_queries(lambda: list_version_rows(model))
    for number in range(4):
        serve(f"more-{number}")
        make_version(model)
    assert len(list_model_rows(list_models())) == 5
    many = count_queries(lambda: list_model_rows(list_models())), count_queries(lambda: list_version_rows(model))
    assert many == few
    assert max(few) <= 12


@pytest.mark.parametrize(
    "states, load",
    [
        ([], LoadState.WAITING),
        (["loading"], LoadState.LOADING),
        (["ready"], LoadState.SERVING),
        (["failed", "ready"], LoadState.SERVING),
        (["failed"], LoadState.FAILED),
    ],
)
def test_a_version_with_traffic_is_shown_as_loaded_as_its_replicas_are(
    states: list[str], load: LoadState, serve: Callable, valkey: str
) -> None:
    model = serve("one")
    now = time.time()
    for number, state in enumerate(states):
        worker = status.WorkerStatus(
            replica=f"r{number}", pool="default", node="local", model="one", version=1, unit="main", digest="0" * 64,
            device="cpu", device_name="CPU", state=status.ReplicaState(state), pid=1, at_s=now, started_at_s=now,
            reason="out of memory" if state == "failed" else "",
        )  # fmt: skip
        redis.Redis.from_url(valkey).hset(status.WORKERS, worker.replica, spec.encode(worker))
    newest, served = list_version_rows(model)
    assert (served.load, served.percent, served.aliases) == (load, 100.0, ("mine", "stable"))
    assert served.why == ("out of memory" if load is LoadState.FAILED else "")
    assert (newest.load, newest.live) == (LoadState.NOT_LIVE, False)
    (row,) = list_model_rows(list_models())
    assert (row.load, row.stable, row.version_count) == (load, served.version, 2)


def test_without_news_nothing_is_claimed_of_the_load(serve: Callable, settings: Any) -> None:
    model = serve("one")
    keep_loaded(version=model.versions.get(number=2), actor=SYSTEM)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    mailbox.forget()
    assert {row.load for row in list_version_rows(model)} == {LoadState.UNKNOWN}
