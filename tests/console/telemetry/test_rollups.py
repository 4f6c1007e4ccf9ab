"""Roll-ups: merged seconds are the whole, each report counts once, both grains agree."""

import math
import random

import pytest

from console.telemetry import selectors
from console.telemetry.cells import quantiles_ms
from console.telemetry.models import Event, GatewayRollUp, RollUp, WorkerRollUp
from console.telemetry.retention import delete_old
from console.telemetry.rollups import Entry, WorkerSamples, add_reports, add_worker_samples, order_of
from console.telemetry.series import Answer, Query

pytestmark = pytest.mark.django_db
T0 = 1_764_000_000  # a multiple of 300


def entries_of(reports):
    return [Entry(f"{report.second + 1}000-{number}", report) for number, report in enumerate(reports)]


def totals(grain_s):
    rows = RollUp.objects.filter(grain_s=grain_s)
    return sum(row.requests for row in rows), sum(row.ok for row in rows), sum(sum(r.errors.values()) for r in rows)


@pytest.fixture
def minute(telemetry, chance):
    """A minute of two gateways and two versions, and all latencies that went in."""
    reports, latencies = [], []
    for second in range(T0, T0 + 60):
        for gateway in ("g1", "g2"):
            of_second = [chance.lognormvariate(-4.5, 0.8) for _ in range(chance.randrange(1, 40))]
            latencies += of_second
            half = len(of_second) // 2
            reports.append(
                telemetry.second(
                    second,
                    telemetry.series(of_second[:half], version=1, errors={"queue_full": 1}),
                    telemetry.series(of_second[half:], version=2),
                    gateway=gateway,
                    waiting=3,
                    in_flight=5,
                )
            )
    return reports, latencies


def test_seconds_merge_to_the_whole_in_both_grains(minute):
    reports, latencies = minute
    assert add_reports(entries_of(reports)) == 120
    for grain_s, rows in ((10, 12), (300, 2)):
        assert RollUp.objects.filter(grain_s=grain_s).count() == rows
        assert totals(grain_s) == (len(latencies) + 120, len(latencies), 120)
        packed = [bytes(row.latency) for row in RollUp.objects.filter(grain_s=grain_s)]
        for q, found in zip((0.5, 0.95, 0.99), quantiles_ms(packed, (0.5, 0.95, 0.99)), strict=True):
            exact = sorted(latencies)[math.ceil(q * len(latencies)) - 1] * 1e3
            assert found == pytest.approx(exact, rel=0.0101)
        gauges = GatewayRollUp.objects.filter(grain_s=grain_s)
        assert sum(row.seconds for row in gauges) == 60
        assert sum(row.waiting for row in gauges) == 360


def test_a_replay_after_a_restart_counts_nothing_twice(minute):
    entries = entries_of(minute[0])
    add_reports(entries[:70])
    before_replay = totals(10)
    assert add_reports(entries[:70]) == 0
    assert totals(10) == before_replay
    assert add_reports(entries) == 50
    replayed = totals(10), totals(300)
    assert add_reports(entries) == 0
    assert (totals(10), totals(300)) == replayed
    assert replayed[0] == replayed[1]
    assert sum(row.seconds for row in GatewayRollUp.objects.filter(grain_s=10)) == 60


def test_a_late_second_is_added_to_rows_already_written(minute, telemetry):
    entries = entries_of(minute[0])
    add_reports(entries)
    requests, ok, errors = totals(10)
    late = telemetry.second(T0 + 3, telemetry.series([0.02] * 7, version=1), gateway="g3", waiting=9)
    assert add_reports([Entry(f"{T0 + 90}000-0", late)]) == 1
    assert totals(10) == (requests + 7, ok + 7, errors)
    assert totals(300) == (requests + 7, ok + 7, errors)
    fine = GatewayRollUp.objects.get(grain_s=10, start_s=T0)
    assert (fine.seconds, fine.waiting) == (10, 69)


def test_order_of_stream_ids_is_by_number():
    assert order_of("1764000000999-9") < order_of("1764000000999-10") < order_of("1764000001000-0")


def test_history_answers_as_the_reports_were(minute):
    reports, latencies = minute
    add_reports(entries_of(reports))
    now_s = T0 + 8_000
    query = Query(series=("requests", "error_percent", "latency_ms"), start=T0, end=T0 + 60, step=60, by="none")
    answer = selectors.run_query(query, now_s)
    assert answer.series["requests|all"] == [pytest.approx((len(latencies) + 120) / 60)]
    assert answer.series["error_percent|all"] == [pytest.approx(120 / (len(latencies) + 120) * 100)]
    exact = sorted(latencies)[math.ceil(0.95 * len(latencies)) - 1] * 1e3
    assert answer.series["latency_ms.p95|all"][0] == pytest.approx(exact, rel=0.0101)


def test_history_knows_zero_from_nothing(telemetry):
    add_reports(entries_of([telemetry.second(T0 + 10), telemetry.second(T0 + 20, telemetry.series([0.01]))]))
    query = Query(series=("requests", "latency_ms"), start=T0, end=T0 + 30, step=10, by="none", q=(0.5,))
    answer = selectors.run_query(query, T0 + 8_000)
    assert answer.series["requests|all"] == [None, 0, 1]
    assert answer.series["latency_ms.p50|all"] == [None, None, pytest.approx(10, rel=0.0101)]


@pytest.mark.parametrize("offset", [0, 7, 133, 299])
def test_one_step_as_wide_as_the_range_holds_all_of_it(minute, offset):
    """However the range lies: what a table says of a whole range."""
    reports, latencies = minute
    add_reports(entries_of(reports))
    query = Query(series=("requests",), start=T0 - offset, end=T0 - offset + 600, step=610, by="none")
    answer = selectors.run_query(query, T0 + 8_000)
    assert answer.points == 1
    assert answer.series["requests|all"] == [pytest.approx((len(latencies) + 120) / 60)]


def line(start, step, values, since=0):
    return Answer(start, step, len(values), 0, since, series={"requests|all": values})


@pytest.mark.parametrize(
    "held, history, filled",
    [
        # the memory begins at 30: what ended before it comes from history
        (line(0, 10, [None, None, None, 4.0], since=30), line(0, 10, [1.0, 2.0, 3.0, 9.0]), [1.0, 2.0, 3.0, 4.0]),
        # it begins inside a step: that step is its own
        (line(0, 10, [None, None, 3.0, 4.0], since=25), line(0, 10, [1.0, 2.0, 9.0, 9.0]), [1.0, 2.0, 3.0, 4.0]),
        # finer than history: values repeat, but not into the memory
        (line(0, 5, [None, None, None, 4.0], since=15), line(0, 10, [1.0, 2.0]), [1.0, 1.0, None, 4.0]),
        # one wide step that reaches into the memory stays as the memory has it
        (line(0, 100, [7.0], since=40), line(0, 100, [1.0]), [7.0]),
        # an empty memory gives way to all that is written
        (line(0, 10, [None, None], since=0), line(0, 10, [1.0, 2.0]), [1.0, 2.0]),
    ],
)
def test_a_young_memory_is_filled_from_history(held, history, filled):
    selectors.fill_front(held, history)
    assert held.series["requests|all"] == filled


def test_worker_means_are_exact_over_a_restart(telemetry):
    for values in ([10, 20, None], [60]):
        samples = WorkerSamples()
        for i, use in enumerate(values):
            samples.add(T0 + i, [telemetry.worker("r1", T0, use=use)])
        add_worker_samples(samples.take())
    row = WorkerRollUp.objects.get(grain_s=10)
    assert (row.device_use, row.device_use_samples) == (90, 3)
    query = Query(series=("device_use",), start=T0, end=T0 + 300, step=300, by="worker")
    assert selectors.run_query(query, T0 + 8_000).series == {"device_use|r1": [30.0]}


def test_samples_that_could_not_be_written_wait(telemetry):
    samples = WorkerSamples()
    samples.add(T0, [telemetry.worker("r1", T0, use=10)])
    rows = samples.take()
    samples.add(T0 + 1, [telemetry.worker("r1", T0, use=30)])
    samples.put_back(rows)
    add_worker_samples(samples.take())
    row = WorkerRollUp.objects.get(grain_s=10)
    assert (row.device_use, row.device_use_samples) == (40, 2)


def test_old_history_leaves_by_grain(minute):
    add_reports(entries_of(minute[0]))
    assert delete_old(T0 + 3_600) == 0
    assert delete_old(T0 + 3 * 86_400) > 0
    assert not RollUp.objects.filter(grain_s=10).exists()
    assert RollUp.objects.filter(grain_s=300).count() == 2
    delete_old(T0 + 91 * 86_400)
    assert not RollUp.objects.exists()
    assert not GatewayRollUp.objects.exists()
    assert not Event.objects.exists()


def test_any_order_and_any_cut_of_the_stream_gives_the_same_rows(telemetry):
    chance = random.Random(5)
    reports = [
        telemetry.second(T0 + i, telemetry.series([chance.random() for _ in range(5)]), gateway=f"g{g}")
        for i in range(30)
        for g in range(3)
    ]
    entries = entries_of(reports)
    cut = 0
    while cut < len(entries):
        size = chance.randrange(1, 17)
        add_reports(entries[cut : cut + size])
        cut += size
    assert totals(10) == totals(300) == (450, 450, 0)
    assert GatewayRollUp.objects.get(grain_s=300).seconds == 30
