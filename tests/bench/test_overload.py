"""The bench of overload on the excerpt that lies beside it: a line per load and queue, and what it has to show."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACES = ROOT / "bench/traces"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.overload", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "trace, format", [("azure_llm_2023_conv.csv", "azure_llm"), ("mooncake_conversation.jsonl", "mooncake")]
)
def test_ours_is_near_the_bound_where_a_plain_queue_collapses(trace: str, format: str, tmp_path: Path):
    chart = tmp_path / "chart.svg"
    done = run(
        "--trace", str(TRACES / trace), "--format", format, "--load", "0.5,3", "--seconds", "3", "--json",
        "--chart", str(chart),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    by_key = {(row["scenario"], row.get("load"), row["policy"]): row for row in rows}
    ours = by_key["overload", 3.0, "ours"]
    assert by_key["overload", 0.5, "ours"]["goodput_ratio"] >= 0.95
    assert 0.9 <= ours["goodput_ratio"] <= 1.0
    assert ours["goodput_of_1x"] >= 0.95
    assert ours["late_device_share"] <= 0.001
    assert by_key["overload", 3.0, "fifo"]["goodput_ratio"] < 0.2
    assert by_key["priorities", 3.0, "ours"]["top_in_time"] >= 0.99
    assert by_key["callers", 3.0, "ours"]["least_of_light_in_time"] >= 0.95
    bursts = [row["goodput_ratio"] for row in rows if row["scenario"] == "bursts" and row["policy"] == "ours"]
    assert all(0.9 <= ratio <= 1.0 for ratio in bursts)
    assert len(bursts) == 4
    assert by_key["cost", None, "ours"]["us_per_request"] > 0
    for row in rows:
        if row["scenario"] in ("overload", "bursts"):
            assert row["in_time"] + row["refused"] + row["dropped"] + row["late"] == row["requests"]
    lines = ElementTree.fromstring(chart.read_text()).iter("{http://www.w3.org/2000/svg}polyline")
    assert len(list(lines)) == 6


def test_the_table_and_the_exact_optimum():
    done = run("--policy", "ours", "--servers", "1", "--exact", "--load", "1.5", "--seconds", "1")
    assert done.returncode == 0, done.stderr
    assert {"overload", "priorities", "slowdown", "callers", "bursts", "cost"} <= set(done.stdout.splitlines())
    head, values = done.stdout.splitlines()[1:3]
    figures = dict(zip(head.split(), values.split(), strict=True))
    assert 0.9 * int(figures["optimum"]) <= int(figures["in_time"])
    assert int(figures["optimum"]) <= int(figures["bound"])


@pytest.mark.parametrize(
    "times",
    [["2024-05-10 00:00:00.5"] * 3000, [*(f"2024-05-10 00:00:0{i % 5}" for i in range(300)), "2024-05-12 00:00:00"]],
    ids=["one clump", "a gap of two days"],
)
def test_strange_traces_are_measured_too(times: list[str], tmp_path: Path):
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(f"{moment},10,0" for moment in times))
    done = run("--trace", str(trace), "--load", "0.9,3", "--seconds", "1", "--policy", "ours", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["scenario"] for row in rows] == [
        "overload", "overload", "priorities", "slowdown", "callers", *["bursts"] * 4, "cost"
    ]  # fmt: skip
    assert all(row["late_device_share"] <= 0.001 for row in rows[:2])


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--load", "0,1"], "loads above zero"),
        (["--load", "much"], "could not convert"),
        (["--trace", "/nowhere.csv"], "No such file"),
        (["--format", "mooncake"], "line 1"),
        (["--exact"], "--servers 1"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments: list[str], says: str):
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
