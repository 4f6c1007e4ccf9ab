import json
import sys
from pathlib import Path

import pytest
from numpy.random import default_rng

from bench import autoscale
from bench.scaling_chart import draw_chart
from inference.simulator.traffic import poisson


@pytest.fixture
def traces(tmp_path: Path) -> dict[str, Path]:
    """Ten minutes of the same traffic in both formats."""
    chance = default_rng(1)
    at_s = poisson(4.0, 600.0, chance).at_s
    tokens = chance.geometric(1 / 150, len(at_s))
    azure, mooncake = tmp_path / "conv.csv", tmp_path / "conv.jsonl"
    azure.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        + "".join(
            f"2023-11-16 18:{int(at // 60):02d}:{at % 60:010.7f},900,{count}\n"
            for at, count in zip(at_s, tokens, strict=True)
        )
    )
    mooncake.write_text(
        "".join(
            json.dumps({"timestamp": int(at * 1000), "input_length": 900, "output_length": int(count)}) + "\n"
            for at, count in zip(at_s, tokens, strict=True)
        )
    )
    return {"azure_llm": azure, "mooncake": mooncake}


def run(monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    monkeypatch.setattr(sys, "argv", ["autoscale", *flags])
    return autoscale.main()


@pytest.mark.parametrize("format", ["azure_llm", "mooncake"])
def test_a_line_of_json_for_each_policy(
    traces: dict[str, Path], format: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--trace", str(traces[format]), "--format", format, "--cold-start-s", "30", "--policy", "all", "--json"]
    assert run(monkeypatch, *flags) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["policy"] for row in rows] == ["ours", "kpa", "hpa", "static"]
    for row in rows:
        assert row["cost_ratio"] > 1.0
        assert 0.0 <= row["violations"] <= 1.0
        assert row["direction_changes"] >= 0
    assert rows[0]["direction_changes"] <= 1


def test_a_table_and_a_chart_for_people(
    traces: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chart = tmp_path / "charts" / "one.svg"
    flags = ["--trace", str(traces["azure_llm"]), "--format", "azure_llm", "--policy", "ours", "--chart", str(chart)]
    assert run(monkeypatch, *flags) == 0
    assert "| ours |" in capsys.readouterr().out
    assert chart.read_text().startswith("<svg")


@pytest.mark.parametrize("text", ["", "no,such,columns\n1,2,3\n", "TIMESTAMP,ContextTokens,GeneratedTokens\n"])
def test_what_is_no_trace_is_said(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(text)
    assert run(monkeypatch, "--trace", str(path), "--format", "azure_llm") == 1
    assert "broken.csv" in capsys.readouterr().err


def test_points_off_the_paper_lie_on_its_edge() -> None:
    assert 'cx="616.0"' in draw_chart("t", [], {"far": (9.0, 0.5)}, (1.4, 0.005))
