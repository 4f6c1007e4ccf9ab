"""Sketches merge exactly and stay within 1 % of the exact quantile, packed or not, in any order."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.telemetry.cells import FOLD_BYTES, PAIR, Cell, fold, histogram, join, pack, quantiles_ms
from inference import sketch

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
latencies = st.lists(st.floats(1e-6, 3600.0), min_size=1, max_size=300)


def bins_of(values: list[float]) -> sketch.Bins:
    bins: sketch.Bins = {}
    for value in values:
        sketch.add(bins, value)
    return bins


def nearest_rank(values: list[float], q: float) -> float:
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


@given(latencies)
def test_each_quantile_is_within_one_percent_of_the_exact_one(values):
    for q, found in zip(QUANTILES, sketch.quantiles(bins_of(values), QUANTILES), strict=True):
        exact = nearest_rank(values, q)
        assert found == pytest.approx(exact, rel=0.0101)


@given(st.lists(latencies, min_size=1, max_size=6), st.randoms())
@settings(max_examples=200)
def test_merging_parts_in_any_order_gives_the_sketch_of_the_whole(parts, chance):
    whole = bins_of([value for part in parts for value in part])
    merged: sketch.Bins = {}
    chance.shuffle(parts)
    for part in parts:
        sketch.merge(merged, bins_of(part))
    assert merged == whole


@given(st.lists(latencies, min_size=1, max_size=6))
@settings(max_examples=200)
def test_packed_sketches_answer_as_the_whole_sketch_does(parts):
    whole = bins_of([value for part in parts for value in part])
    expected = [value * 1e3 for value in sketch.quantiles(whole, QUANTILES)]
    assert quantiles_ms([pack(bins_of(part)) for part in parts], QUANTILES) == expected
    joined = b""
    for part in parts:
        joined = join(joined, pack(bins_of(part)))
    assert quantiles_ms([fold(joined)], QUANTILES) == expected


@pytest.mark.parametrize(
    "seconds, bucket_holds",
    [(0.0, 1e-6), (-1.0, 1e-6), (1e-9, 1e-6), (1e-6, 1e-6), (0.0125, 0.0125), (3600.0, 3600.0), (1e9, 3600.0)],
)
def test_a_value_out_of_range_counts_at_the_nearer_end(seconds, bucket_holds):
    assert sketch.value_of(sketch.bucket_of(seconds)) == pytest.approx(bucket_holds, rel=0.0101)


def test_an_empty_sketch_has_no_quantiles():
    assert sketch.quantiles({}, (0.5, 0.99)) == [None, None]
    assert quantiles_ms([], (0.5, 0.99)) == [None, None]


def test_a_bounded_sketch_keeps_every_count_and_its_tail():
    wide = dict.fromkeys(range(1000), 2)
    narrow = sketch.bound(wide)
    assert len(narrow) == sketch.MAX_BINS
    assert sum(narrow.values()) == sum(wide.values())
    assert sketch.quantiles(narrow, (0.9, 0.99)) == sketch.quantiles(wide, (0.9, 0.99))
    assert histogram([fold(pack(wide))]).sum() == sum(wide.values())
    assert len(fold(pack(wide))) == sketch.MAX_BINS * PAIR.size


def test_a_cell_of_many_gateways_stays_small():
    cell, chance = Cell(), random.Random(3)
    values = [chance.lognormvariate(-4, 1) for _ in range(4_000)]
    for i in range(0, len(values), 40):
        cell.add(Cell(requests=40, ok=40, latency=pack(bins_of(values[i : i + 40]))))
    assert len(cell.latency) <= FOLD_BYTES
    assert cell.requests == len(values)
    assert quantiles_ms([cell.latency], (0.99,))[0] == pytest.approx(nearest_rank(values, 0.99) * 1e3, rel=0.0101)


def test_buckets_no_gateway_of_ours_sends_do_not_break_the_reader():
    assert histogram([pack({-5: 1, 70_000: 1, 10: -3, 11: 0})]).sum() == 2


def test_error_codes_of_a_cell_are_bounded_and_their_sum_is_kept():
    cell = Cell()
    for i in range(200):
        cell.add(Cell(requests=1, errors={f"code_{i}": 1}))
    assert len(cell.errors) <= 65
    assert cell.failed == 200
