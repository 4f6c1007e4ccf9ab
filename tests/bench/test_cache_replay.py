"""Traces are read as published, whatever is wrong with them is said, and a line a strategy comes out."""

import gzip
import json
import lzma
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cache.__main__ import speed_table, tables
from bench.cache.chart import draw
from bench.cache.curves import exact_miss_ratios, measure_curve
from bench.cache.replay import replay
from bench.cache.traces import TraceError, read_trace
from inference.policy.cache.registry import STRATEGIES

ROOT = Path(__file__).resolve().parents[2]
WEB12 = ROOT / "tests/policy/cache/traces/web12.u32be.xz"
PLAIN = {
    "u32be": (struct.pack(">3I", 7, 1, 2**32 - 1), [7, 1, 2**32 - 1]),
    "u32le": (struct.pack("<3I", 7, 1, 2**32 - 1), [7, 1, 2**32 - 1]),
    "i64be": (struct.pack(">3q", 7, -1, 2**62), [7, -1, 2**62]),
    "oltp": (b"10 3 0 0\n\n7 1 0 1\n5 0 0 2\n", [10, 11, 12, 7]),
    "mooncake": (b'{"timestamp": 0, "hash_ids": [0, 1]}\n{"hash_ids": []}\n\n{"hash_ids": [0, 9]}', [0, 1, 0, 9]),
}


@pytest.mark.parametrize("format", PLAIN)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_every_format_is_read_as_it_is_or_packed(tmp_path: Path, format: str, pack) -> None:
    content, keys = PLAIN[format]
    path = tmp_path / "no.telling.name"
    path.write_bytes(pack(content))
    assert read_trace(path, format) == keys
    assert read_trace(path, format, limit=2) == keys[:2]
    assert read_trace(path, format, limit=0) == []


@pytest.mark.parametrize("format", PLAIN)
def test_an_empty_trace_has_no_requests(tmp_path: Path, format: str) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert read_trace(path, format) == []


@pytest.mark.parametrize("format, content, told", [
    ("u32be", struct.pack(">2I", 1, 2) + b"abc", "3 bytes into a key of 4, after 2 requests"),
    ("oltp", b"1 2 0 0\n9\n", "line 2 has no count, after 2 requests"),
    ("oltp", b"1 2 0 0\nx y\n", "invalid literal"),
    ("oltp", b"1 999999999999 0 0\n", "asks for 999999999999 blocks"),
    ("mooncake", b'{"hash_ids": [1]}\n{"hash_ids": [2', "after 1 requests"),
    ("mooncake", b'{"input_length": 3}\n', "line 1 has no list of numbers"),
    ("mooncake", b'[1, 2]\n', "line 1 has no list of numbers"),
])  # fmt: skip
def test_what_breaks_off_or_is_something_else_is_refused_with_the_place(
    tmp_path: Path, format: str, content: bytes, told: str
) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=f"no whole {format} trace") as caught:
        read_trace(path, format)
    assert told in str(caught.value)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_cut_file_can_be_replayed_up_to_the_cut(tmp_path: Path, pack) -> None:
    whole = read_trace(WEB12, "u32be")
    path = tmp_path / "cut"
    path.write_bytes(pack(struct.pack(f">{len(whole)}I", *whole))[:-20_000])
    with pytest.raises(TraceError) as caught:
        read_trace(path, "u32be")
    there = int(str(caught.value).split("--limit ")[1].split(".")[0])
    assert read_trace(path, "u32be", there) == whole[:there]


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.cache_replay", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_a_line_a_strategy() -> None:
    flags = ("--trace", str(WEB12), "--format", "u32be", "--limit", "5000")
    done = run(*flags, "--capacity", "200", "--strategy", "all", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["strategy"] for line in lines] == list(STRATEGIES)
    assert all(list(line) == ["trace", "requests", "capacity", "strategy", "hit_ratio"] for line in lines)
    assert {line["requests"] for line in lines} == {5000}
    assert all(0.1 < line["hit_ratio"] < 0.5 for line in lines)


@pytest.mark.parametrize("limit, capacity, ratio", [("100", "0", 0.0), ("0", "10", None)])
def test_no_room_hits_nothing_and_no_requests_have_no_ratio(limit: str, capacity: str, ratio: float | None) -> None:
    flags = ("--trace", str(WEB12), "--format", "u32be", "--limit", limit, "--capacity", capacity)
    done = run(*flags, "--strategy", "lru", "--json")
    assert json.loads(done.stdout)["hit_ratio"] == ratio


@pytest.mark.parametrize("flags, told", [
    (("--trace", "/nowhere", "--format", "u32be", "--capacity", "1"), "No such file"),
    (("--trace", str(WEB12), "--format", "oltp", "--capacity", "1"), "no whole oltp trace"),
    (("--trace", str(WEB12), "--format", "u32be", "--capacity", "-1"), "negative"),
    (("--trace", str(WEB12), "--format", "u32be"), "needed: --capacity"),
])  # fmt: skip
def test_what_is_wrong_is_said_and_fails(flags: tuple[str, ...], told: str) -> None:
    done = run(*flags)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_exact_curve_is_that_of_lru() -> None:
    keys, sizes = read_trace(WEB12, "u32be", 3000), [1, 10, 100, 1000]
    real = [1.0 - (replay(keys, "lru", size).hit_ratio or 0.0) for size in sizes]
    assert exact_miss_ratios(keys, sizes) == pytest.approx(real)


def test_the_sampled_curve_is_near_it() -> None:
    found = measure_curve(read_trace(WEB12, "u32be"))
    assert found.mean_error < 0.01
    assert found.held_bytes < 1_000_000


def test_the_chart_has_a_mark_for_each_strategy_and_row() -> None:
    ratios = {"lru": 0.3, "arc": 0.35, "s3fifo": 0.36, "sieve": 0.2, "wtinylfu": 0.9, "lfu": 0.1, "adaptive": 0.36}
    chart = draw([("a <trace>", ratios), ("another", ratios)])
    assert chart.count("adaptive +6.00") == 2
    assert "a &lt;trace&gt;" in chart


def test_the_tables_name_the_best_the_distance_and_the_price() -> None:
    ratios = {"lru": 0.3, "arc": 0.35, "s3fifo": 0.36, "sieve": 0.2, "wtinylfu": 0.3, "lfu": 0.1, "fifo": 0.2}
    row = ratios | {"adaptive": 0.355, "libcachesim:Belady": 0.9, "libcachesim:LRU": 0.301}
    row |= {f"libcachesim:{there}": ratios[ours] for ours, there in
            (("lfu", "LFU"), ("fifo", "FIFO"), ("arc", "ARC"), ("s3fifo", "S3FIFO"), ("sieve", "Sieve"))}  # fmt: skip
    told = tables([("trace @ 10", row)])
    assert "| **36.00%** |" in told
    assert told.splitlines()[2].endswith("| -0.50 | +5.50 |")
    assert "lru 0.100, lfu 0.000" in told
    speeds = speed_table([dict.fromkeys(STRATEGIES, 170.0) | {"arc": 340.0}], [("trace @ 10", row)])
    assert "| lru | 100 | 100 | 100 | 1.0 |" in speeds
    assert "| arc | 206 | 206 | 206 | 2.0 |" in speeds
