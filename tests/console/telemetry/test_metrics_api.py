"""Metrics over REST: the same numbers from rings and roll-ups, clear refusals, CSV."""

import csv
import io
import time

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from support.waiting import wait_until

from console.telemetry.asked import read_query
from console.telemetry.rollups import Entry, add_reports
from console.telemetry.series import RANGES, step_for

pytestmark = pytest.mark.django_db
QUERY = "/api/v1/metrics/query/"


@pytest.fixture
def viewer(valkey):
    client = Client()
    client.force_login(get_user_model().objects.create_user("viewer-1", role="viewer"))
    return client


@pytest.fixture
def history(telemetry):
    """A minute of traffic, ten minutes ago, in roll-ups only."""
    start = int(time.time()) - 600
    start -= start % 60
    for second in range(start, start + 60):
        report = telemetry.second(second, telemetry.series([0.01] * 9, errors={"queue_full": 1}))
        add_reports([Entry(f"{second + 1}000-0", report)])
    return start


def test_the_catalogue_names_every_series_with_its_unit(viewer):
    found = viewer.get("/api/v1/metrics/series/").json()
    latency = next(item for item in found["results"] if item["name"] == "latency_ms")
    assert (latency["unit"], latency["quantiles"]) == ("ms", True)
    assert found["ranges"] == list(RANGES)


def test_a_query_answers_with_points_times_and_nulls(viewer, history):
    asked = {"series": "latency_ms,requests,error_percent", "q": "0.95", "start": history - 60, "end": history + 60}
    found = viewer.get(QUERY, asked).json()
    assert (found["t0"], found["step"], found["points"]) == (history - 60, 10, 12)
    assert found["series"]["requests|minilm/1"] == [None] * 6 + [10] * 6
    assert found["series"]["error_percent|minilm/1"][6:] == [10] * 6
    assert found["series"]["latency_ms.p95|minilm/1"][6:] == [pytest.approx(10, rel=0.011)] * 6


def test_errors_by_class(viewer, history):
    asked = {"series": "errors", "by": "code", "start": history, "end": history + 60, "step": 60}
    assert viewer.get(QUERY, asked).json()["series"] == {"errors|minilm/queue_full": [1.0]}


@pytest.mark.parametrize("asking", [{"format": "csv"}, {}])
def test_csv_has_a_row_a_point_and_an_empty_cell_for_unknown(viewer, history, asking):
    asked = {"series": "requests", "by": "none", "start": history - 10, "end": history + 20, "step": 10}
    headers = {} if asking else {"accept": "text/csv"}
    answer = viewer.get(QUERY, asked | asking, headers=headers)
    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.content.decode())))
    assert rows[0] == ["time (UTC)", "requests|all"]
    assert [row[1] for row in rows[1:]] == ["", "10", "10"]
    assert rows[1][0].endswith("Z")


@pytest.mark.parametrize(
    "asked, status, why",
    [
        ({"serie": "requests"}, 400, "Unknown parameter"),
        ({"series": "nonsense"}, 422, "No series is called"),
        ({"series": "latency_ms", "by": "worker"}, 422, "not by"),
        ({"by": "colour"}, 422, "'by' is one of"),
        ({"q": "high"}, 422, "not usable"),
        ({"q": "1.5"}, 422, "Quantiles are"),
        ({"range": "1y"}, 422, "A range is one of"),
        ({"start": "yesterday"}, 422, "is no time"),
        ({"start": "2026-11-24T05:40:00"}, 422, "is no time"),
        ({"start": "2000", "end": "1000"}, 422, "must end after"),
        ({"step": "0"}, 422, "whole seconds"),
        ({"range": "7d", "step": "1"}, 422, "the finest"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_way_out(viewer, asked, status, why):
    answer = viewer.get(QUERY, asked)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert why in answer.json()["detail"]


def test_nobody_reads_metrics_without_a_login(valkey):
    assert Client().get(QUERY).status_code == 401


@pytest.mark.parametrize("span_s", RANGES.values())
def test_no_range_gives_a_chart_more_points_than_it_may_have(span_s):
    points = span_s / step_for(span_s)
    assert points <= (900 if span_s <= 900 else 600)


def test_a_range_begins_at_a_whole_step():
    query = read_query({"range": "1h", "series": "requests"}, 1_764_000_007.5)
    assert query.start % query.step == 0
    assert query.end == 1_764_000_008


@pytest.mark.django_db(transaction=True)
def test_the_last_hour_comes_from_the_rings_and_its_front_from_history(valkey, plane, telemetry, start_monitor):
    client = Client()
    client.force_login(get_user_model().objects.create_user("viewer-2", role="viewer"))
    now = int(time.time())
    earlier = now - now % 10 - 1_200
    add_reports([Entry(f"{earlier + 1}000-0", telemetry.second(earlier, telemetry.series([0.01] * 7)))])
    plane.report(telemetry.second(now - 5, telemetry.series([0.02] * 3)))
    start_monitor()

    def ask():
        found = client.get(QUERY, {"series": "requests", "by": "none", "range": "1h"}).json()
        return found if 3.0 in found["series"]["requests|all"] else None

    found = wait_until(ask, 20, "the rings answer")
    assert found["series"]["requests|all"][(earlier - found["t0"]) // 10] == 7.0
    fine = client.get(QUERY, {"series": "latency_ms", "q": "0.5", "by": "none", "range": "5m"}).json()
    assert fine["step"] == 1
    assert fine["series"]["latency_ms.p50|all"][now - 5 - fine["t0"]] == pytest.approx(20, rel=0.011)
