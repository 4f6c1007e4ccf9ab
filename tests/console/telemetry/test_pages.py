"""Overview and dashboard as the server draws them: a dash for what nobody measured, a step done when it is so."""

import time
from datetime import UTC, datetime

import msgspec
import pytest
import redis
from django.contrib.auth import get_user_model
from django.test import Client

from console.accounts.services import create_api_key
from console.jobs.choices import OperationKind
from console.jobs.models import Operation
from console.lib.actors import SYSTEM
from console.registry.models import Model
from console.telemetry import live
from console.telemetry.drawing import draw_spark, spell_change
from console.telemetry.events import record_events
from console.telemetry.happenings import latest_happenings
from console.telemetry.overview import read_overview

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(valkey):
    return get_user_model().objects.create_user("ada", role="admin", password="a long password 1")


@pytest.fixture
def client(admin):
    client = Client()
    client.force_login(admin)
    return client


def show(url, state, lines=None, at_s=None):
    """As the monitor does."""
    at_s = time.time() if at_s is None else at_s
    told = live.State(at_s, int(at_s), "epoch", state, lines or {})
    redis.Redis.from_url(url).hset(live.LIVE, "overview", msgspec.json.encode(told))


def test_nothing_known_is_a_dash_never_a_zero(client):
    overview = read_overview()
    assert [tile.value for tile in overview.tiles] == [""] * 6
    page = client.get("/").content.decode()
    assert page.count('<span data-v class="faint">–</span>') == 6


def test_tiles_show_value_unit_and_change(valkey, client):
    show(valkey, {"requests": 30.0, "requests.was": 20.0, "p95": 12.5, "p95.was": 14.5, "errors": 0.0, "waiting": 2,
                  "in_flight": 5, "ready": 1, "workers": 2, "use": 40, "use.kind": "GPU"})  # fmt: skip
    tiles = {tile.key: tile for tile in read_overview().tiles}
    assert (tiles["requests"].value, tiles["requests"].change.text) == ("30", "50% vs 5 min ago")
    assert (tiles["p95"].value, tiles["p95"].change.good) == ("12.5", True)
    assert tiles["errors"].value == "0"
    assert tiles["use"].label == "GPU use"
    assert tiles["in_flight"].note == "2 waiting"
    assert tiles["ready"].note == "1 not ready"
    assert "12.5" in client.get("/").content.decode()


def test_a_silent_monitor_is_said(valkey, client):
    show(valkey, {"requests": 30.0}, at_s=time.time() - 60)
    assert read_overview().stale
    assert "The monitor is away" in client.get("/").content.decode()


def test_first_steps_are_found_done_from_what_is_so(admin, client):
    def done():
        return {step.key for step in read_overview().steps if step.done}

    assert done() == set()
    create_api_key(actor=SYSTEM, owner=admin, name="demo", scopes=["infer"])
    assert done() == set()  # the start made that one
    create_api_key(actor=admin, name="mine", scopes=["infer"])
    assert done() == {"key"}
    Operation.objects.create(kind=OperationKind.TRAFFIC, subject="minilm")
    assert done() == {"key", "traffic"}


def test_events_of_the_data_plane_and_acts_of_people_are_one_list(admin, telemetry):
    create_api_key(actor=admin, name="mine", scopes=["infer"])
    at = datetime.now(UTC).timestamp() + 5
    record_events(
        [("1-0", telemetry.event(at_s=at, kind="worker.lost", subject="r1", message="r1 is gone", level="bad"))]
    )
    newest, *rest = latest_happenings(10)
    assert (newest.title, newest.text, newest.tone) == ("Worker lost", "r1 is gone", "bad")
    assert rest[0].title == "API key made"


def test_the_overview_asks_few_questions_however_many_models(client, django_assert_max_num_queries):
    for number in range(8):
        Model.objects.create(name=f"model-{number}")
    with django_assert_max_num_queries(14):  # session and person are two of them
        assert "model-7" in client.get("/").content.decode()


@pytest.mark.parametrize(
    "path, status",
    [
        ("/dashboards/", 302),
        ("/dashboards/latency/", 200),
        ("/dashboards/latency/?range=7d", 200),
        ("/dashboards/latency/?range=1y", 400),
        ("/dashboards/latency/?start=2000&end=1000", 400),
        ("/dashboards/latency/?start=yesterday", 400),
        ("/dashboards/nothing/", 404),
    ],
)
def test_dashboards(client, path, status):
    assert client.get(path).status_code == status


@pytest.mark.parametrize("path", ["/", "/dashboards/latency/"])
def test_nobody_looks_without_a_login(valkey, path):
    answer = Client().get(path)
    assert answer.status_code == 302
    assert "/accounts/login/" in answer["Location"]


def test_a_sparkline_has_a_gap_where_nothing_is_known():
    spark = draw_spark([1.0, 2.0, None, 2.0, 1.0])
    assert spark.line.count("M") == 2
    assert spark.fill.count("z") == 2
    assert draw_spark([None] * 60) == ("", "")


def test_a_sparkline_begins_at_zero_and_ends_at_its_ceiling():
    assert draw_spark([0.0, 10.0]).line == "M0.0 38.0L120.0 6.0"
    assert draw_spark([0.0, 50.0], ceiling=100).line == "M0.0 38.0L120.0 22.0"


@pytest.mark.parametrize(
    "key, now, was, text",
    [
        ("requests", 30.0, 20.0, "50% vs 5 min ago"),
        ("requests", 30.0, 0.0, None),
        ("p95", 12.5, 12.5, "as 5 min ago"),
        ("errors", 0.5, 0.25, "0.25 pp vs 5 min ago"),
        ("use", None, 3.0, None),
    ],
)
def test_changes_in_words(key, now, was, text):
    change = spell_change(key, now, was)
    assert (change and change.text) == text
