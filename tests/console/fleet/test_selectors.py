"""The fleet is shown as it reported itself, with its age; when news stop, the last ones stay and say so."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from console.fleet import services
from console.fleet.choices import Freshness
from console.fleet.selectors import get_worker, list_behind, list_devices, list_gateways, list_workers, pool_summary
from console.lib import outbox
from console.lib.actors import SYSTEM
from console.lib.errors import Invalid, Missing, StaleWrite
from inference import spec, status
from inference.status import Reading, ReplicaState

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "age_s, freshness", [(0.5, Freshness.LIVE), (5, Freshness.STALE), (60, Freshness.UNKNOWN), (400, None)]
)
def test_a_worker_is_shown_with_how_old_its_news_are(
    age_s: float, freshness: Freshness | None, report: Callable, worker: Callable
) -> None:
    report(worker("a", age_s))
    rows = list_workers().items
    assert [row.freshness for row in rows] == ([freshness] if freshness else [])


def test_workers_stand_in_one_order_whoever_reports_first(report: Callable, worker: Callable) -> None:
    for replica, device in (("c", "cuda:0"), ("b", "cpu"), ("a", "cuda:0")):
        report(worker(replica, device=device))
    assert [row.id for row in list_workers().items] == ["b", "a", "c"]


def test_while_redis_is_away_the_last_news_stay_and_the_answer_is_quick(
    report: Callable, worker: Callable, settings: Any
) -> None:
    report(worker("a"))
    heard = list_workers()
    assert (heard.problem, heard.freshness) == ("", Freshness.LIVE)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    from console.fleet.reports import mailbox

    mailbox.client = None  # as after a lost connection
    began = time.monotonic()
    away = list_workers()
    again = pool_summary()
    assert time.monotonic() - began < 1.5
    assert [row.id for row in away.items] == ["a"]
    assert (away.freshness, away.as_of_s) == (Freshness.STALE, heard.as_of_s)
    assert "Redis does not answer" in away.problem
    assert again.problem == away.problem


def test_before_any_news_nothing_is_claimed(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    nothing = list_workers()
    assert (nothing.items, nothing.as_of_s, nothing.freshness) == ((), None, Freshness.UNKNOWN)


def test_a_report_of_another_version_of_ours_breaks_no_page(report: Callable, worker: Callable, valkey: str) -> None:
    report(worker("a"))
    redis.Redis.from_url(valkey).hset(status.WORKERS, "odd", b'{"replica": "odd", "colour": "red"}')
    assert [row.id for row in list_workers().items] == ["a"]


def test_a_silent_worker_is_missing_by_name(report: Callable, worker: Callable) -> None:
    report(worker("a"))
    assert get_worker("a").status.model == "echo"
    with pytest.raises(Missing, match="'b'"):
        get_worker("b")


def test_devices_carry_the_newest_reading_of_their_replicas(report: Callable, worker: Callable) -> None:
    report(worker("a", 2, device_use=Reading(value=10.0)))
    report(worker("b", 0, device_use=Reading(value=70.0)))
    report(worker("c", 0, device="cuda:0", device_use=Reading(value=None, reason="MIG")))
    cpu, gpu = list_devices().items
    assert (cpu.name, cpu.use.value, len(cpu.workers)) == ("cpu", 70.0, 2)
    assert (gpu.use.value, gpu.use.reason) == (None, "MIG")


def test_the_summary_counts_what_there_is(report: Callable, worker: Callable) -> None:
    now = time.time()
    report(worker("a", in_flight=3, restarts=1))
    report(worker("b", state=ReplicaState.LOADING))
    report(status.ControllerStatus(id="old", fence=1, at_s=now - 30))
    report(status.ControllerStatus(id="new", fence=2, at_s=now, spares=1))
    report(status.GatewayStatus(id="g", at_s=now, started_at_s=now, url="http://127.0.0.1:8080"))
    found = pool_summary()
    assert (found.workers, found.by_state) == (2, {"ready": 1, "loading": 1})
    assert (found.in_flight, found.restarts, found.spares) == (3, 1, 1)
    assert found.controller.status.id == "new"
    assert [row.status.id for row in found.gateways] == ["g"]


@pytest.mark.django_db(transaction=True)
def test_who_is_behind_is_told_by_the_generations_they_acknowledge(
    report: Callable, model: Any, make_version: Callable
) -> None:
    from console.serving.services import set_stable_version

    set_stable_version(model=model, to=make_version(model), seen=0, actor=SYSTEM)
    epoch, now = outbox.current_epoch(), time.time()
    wanted = outbox.OutboxMark.objects.get(kind="spec", key="echo").generation

    def gateway(name: str, has: dict) -> status.GatewayStatus:
        return status.GatewayStatus(id=name, at_s=now, started_at_s=now, url="", generations=has)

    report(gateway("current", {"spec/echo": (epoch, wanted)}))
    report(gateway("late", {"spec/echo": (epoch, wanted - 1)}))
    report(gateway("restored", {"spec/echo": ("another", wanted)}))
    report(gateway("new", {}))
    behind = [item for item in list_behind().items if item.kind == "spec"]
    assert {item.gateway for item in behind} == {"late", "restored", "new"}
    assert {row.status.id: row.behind for row in list_gateways().items}["current"] == 0


def test_a_pool_is_set_published_and_left_alone_when_nothing_changes(valkey: str) -> None:
    first = services.set_pool(actor=SYSTEM, devices=["cpu"], max_workers=4)
    again = services.set_pool(actor=SYSTEM)
    assert (again.row_version, again.max_workers, again.spares) == (first.row_version, 4, 1)
    changed = services.set_pool(actor=SYSTEM, devices=["cuda:0", "cuda:1"], seen=first.row_version)
    assert (changed.row_version, changed.max_workers) == (first.row_version + 1, 4)
    with pytest.raises(StaleWrite):
        services.set_pool(actor=SYSTEM, spares=0, seen=first.row_version)


@pytest.mark.parametrize(
    "fields", [{"devices": []}, {"devices": ["cpu", "cpu"]}, {"devices": ["tpu:0"]}, {"max_workers": 0}, {"spares": 99}]
)
def test_a_pool_stays_within_its_bounds(fields: dict) -> None:
    with pytest.raises(Invalid):
        services.set_pool(actor=SYSTEM, **fields)


@pytest.mark.django_db(transaction=True)
def test_pool_and_price_documents_reach_redis(valkey: str) -> None:
    services.set_pool(actor=SYSTEM, devices=["cpu"], max_workers=2, spares=0)
    services.set_price(name="h100", nano_usd_per_hour=2_500_000_000, actor=SYSTEM)
    client = redis.Redis.from_url(valkey)
    pool = spec.decode(client.hget(spec.DOCUMENTS.format(kind="pool"), "default"), spec.PoolSpec)
    price = spec.decode(client.hget(spec.DOCUMENTS.format(kind="price"), "h100"), spec.PriceSpec)
    assert (pool.devices, pool.max_workers, pool.spares) == (("cpu",), 2, 0)
    assert price.nano_usd_per_hour == 2_500_000_000


def test_workers_and_pools_over_rest(report: Callable, worker: Callable, api: Any) -> None:
    report(worker("a", in_flight=2))
    listed = api.get("/api/v1/workers/").json()
    assert (listed["count"], listed["problem"], listed["results"][0]["state"]) == (1, "", "ready")
    one = api.get("/api/v1/workers/a/").json()
    assert (one["in_flight"], one["device_use_percent"]["value"], one["freshness"]) == (2, None, "live")
    assert api.get("/api/v1/workers/b/").status_code == 404
    services.set_pool(actor=SYSTEM)
    held = api.get("/api/v1/pools/default/")
    body = {"devices": ["cpu"], "max_workers": 3, "spares": 0}
    changed = api.put("/api/v1/pools/default/", body, HTTP_IF_MATCH=held["ETag"])
    assert (changed.status_code, changed.json()["max_workers"]) == (200, 3)
