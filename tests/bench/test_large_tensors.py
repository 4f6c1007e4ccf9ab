"""The bench of large tensors against our own server, as it is started for a user."""

from pathlib import Path

import pytest

from bench.large_tensors import BYTES, OURS, Row, http_body, measure_grpc, megabytes, serve_ours, shape_for, table
from bench.large_tensors import check_answer as check


def test_pictures_come_back_as_they_were_sent_over_both_edges(short_tmp: Path):
    with serve_ours(short_tmp) as served:
        body, head_bytes = http_body(shape_for(OURS))
        headers = served.headers | {"Inference-Header-Content-Length": str(head_bytes)}
        check(f"{served.url}/v2/models/identity/infer", body, headers)
        row = measure_grpc(OURS, served, short_tmp, clients=2, seconds=1)
    assert (row.errors, row.c) == (0, 2)
    assert row.mb_per_s == megabytes(row.rps) > 0


def test_an_answer_of_other_bytes_stops_the_bench(short_tmp: Path):
    with serve_ours(short_tmp) as served:
        body, head_bytes = http_body(shape_for(OURS))
        other = body[:head_bytes] + bytes(BYTES)
        headers = served.headers | {"Inference-Header-Content-Length": str(head_bytes)}
        with pytest.raises(ValueError, match="other bytes"):
            check(f"{served.url}/v2/models/identity/infer", other, headers)


def test_the_table_has_a_line_for_each_row_ours_first():
    rows = [Row("http", "triton", 1, 400, 332, 3, 9, 0), Row("http", OURS, 1, 500, 415, 2, 8, 0)]
    lines = table(rows).splitlines()
    assert [OURS in line for line in lines] == [False, False, True, False]
