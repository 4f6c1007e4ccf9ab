"""What is counted is counted once, whoever looks meanwhile."""

import random

import pytest

from inference import sketch
from inference.gateway.telemetry import MOST_NOTED, Telemetry
from inference.transport.frames import Result


def count(telemetry: Telemetry, models: int, requests: int) -> None:
    for model in range(models):
        for number in range(requests):
            telemetry.answered(f"m{model}", 1, 2, 0.001 * (number + 1), 0.0001, 500)
        telemetry.failed(f"m{model}", 1, "queue_full", 0.002)
        telemetry.batch(f"m{model}", 1, requests, 2 * requests, Result(1, 1, [], 10, 20, 30))


def test_a_second_is_reported_once_and_kept_in_the_totals() -> None:
    telemetry = Telemetry()
    count(telemetry, models=1, requests=5)
    [series] = telemetry.close_second()
    assert (series.requests, series.ok, series.errors, series.rows, series.batches) == (6, 5, {"queue_full": 1}, 10, 1)
    assert sum(series.latency.values()) == 6
    assert series.compute_ns == 2500
    assert list(telemetry.close_second()) == []
    [total] = telemetry.snapshot().values()
    assert (total.requests, total.batched, total.by_size[10].infer_ns) == (6, 5, 20)
    assert total.request_s == pytest.approx(0.001 * 15 + 0.002)
    assert total.failed_s == pytest.approx(0.002)


def test_nothing_is_missing_or_double_while_a_second_is_being_closed() -> None:
    telemetry, seen = Telemetry(), 0
    count(telemetry, models=20, requests=3)
    for series in telemetry.close_second():
        seen += series.requests
        assert sum(counts.requests for counts in telemetry.snapshot().values()) >= 80
        if seen == 40:
            count(telemetry, models=20, requests=1)  # while it goes on
    assert seen == 80
    assert sum(counts.requests for counts in telemetry.snapshot().values()) == 120
    assert sum(series.requests for series in telemetry.close_second()) == 40


def test_a_second_that_was_not_closed_to_its_end_is_closed_with_the_next() -> None:
    telemetry = Telemetry()
    count(telemetry, models=3, requests=1)
    next(telemetry.close_second())
    count(telemetry, models=3, requests=1)
    reported = sum(series.requests for series in telemetry.close_second())
    reported += sum(series.requests for series in telemetry.close_second())
    assert reported == 12 - 2
    assert sum(counts.requests for counts in telemetry.snapshot().values()) == 12


def test_many_requests_of_one_second_are_summed_up_before_it_ends() -> None:
    telemetry = Telemetry()
    for _ in range(2 * MOST_NOTED + 1):
        telemetry.answered("m", 1, 1, 0.001, 0.0, 1)
    assert len(telemetry.running("m", 1).total_s) == 1
    [series] = telemetry.close_second()
    assert series.ok == 2 * MOST_NOTED + 1


@pytest.mark.parametrize("size", [1, sketch.FEW - 1, sketch.FEW, 1000])
def test_values_added_together_lie_where_they_would_have_alone(size: int) -> None:
    chance = random.Random(7)
    values = [chance.choice([0.0, 1e-9, 1e5, chance.expovariate(100)]) for _ in range(size)]
    together: sketch.Bins = {}
    alone: sketch.Bins = {}
    sketch.add_all(together, values)
    for value in values:
        sketch.add(alone, value)
    assert together == alone
