"""The replays of bench.rollout_power say what the product would say, and read what they are given."""

import gzip
import json
import lzma
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import rollout_power
from bench.rollout import battery
from bench.rollout.judge import Judge
from bench.rollout.log import Log, read_log
from bench.rollout.peers import PEERS, is_high
from bench.rollout.replay import Played, Stretch, Trial
from inference.policy.canary.analysis import begin
from inference.policy.canary.guard import Outcome


def a_log(rows: int = 4000, clients: int = 300, failing: float = 0.02, seed: int = 1) -> Log:
    chance = np.random.default_rng(seed)
    failed = chance.random(rows) < failing
    latency = np.where(failed, np.nan, np.round(chance.lognormal(3, 0.6, rows)))
    latency[::97] = np.nan  # not finished
    return Log("made up", latency, failed, (chance.random(rows) ** 2 * clients).astype(int))


def by_product(stretch: Stretch, played: Played) -> tuple[int, str, float] | None:
    """The same replay through the product's own objects, one outcome at a time."""
    analysis = begin(stretch.trial.rules)
    analysis.begin_step(stretch.thresholds)
    for row in range(len(played.canary)):
        took = float(played.latency[row])
        analysis.observe(
            Outcome(
                canary=bool(played.canary[row]),
                weight=stretch.trial.weight,
                failed=bool(played.failed[row]),
                latency_s=None if np.isnan(took) else took,
                key=int(played.client[row]) if stretch.trial.sticky else None,
            )
        )
        if analysis.stopped_by:
            return row, analysis.stopped_by, analysis.log_e
    return None


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("effect", [{}, {"errors": 8.0}, {"latency": 1.4}, {"errors": 3.0, "latency": 1.2}])
def test_the_fast_walk_is_the_products_verdict(sticky: bool, effect: dict[str, float]):
    trial = Trial(sticky=sticky, alpha=0.05, **effect)
    stretch = Stretch(a_log(), 700, trial)
    judge = Judge(stretch)
    for seed in range(4):
        chance = np.random.default_rng(seed)
        played = stretch.play(chance)
        mine, theirs = judge.judge(played, chance), by_product(stretch, played)
        if theirs is None:
            assert mine is None
        else:
            assert mine is not None
            assert (mine.row, mine.guard) == theirs[:2]
            assert mine.log_e == pytest.approx(theirs[2], abs=1e-9)
            assert mine.served == played.canary[: mine.row + 1].sum()


def test_evidence_that_gateways_send_once_a_second_costs_about_a_second():
    late = []
    for seed in range(15):
        rows = []
        for gateways in (1, 8):
            stretch = Stretch(a_log(), 0, Trial(latency=1.5, gateways=gateways, rate=20.0))
            chance = np.random.default_rng(seed)
            stopped = Judge(stretch).judge(stretch.play(chance), chance)
            assert stopped is not None
            rows.append(stopped.row)
        late.append(rows[1] - rows[0])
    assert 0 <= np.median(late) <= 2 * 20


@pytest.mark.parametrize(
    "trial, healthy", [(Trial(), True), (Trial(errors=20.0), False), (Trial(latency=3.0, sticky=True), False)]
)
def test_injected_effects_are_found_and_healthy_canaries_kept(trial: Trial, healthy: bool):
    result = rollout_power.run(a_log(), trial, 30, seed=1)
    if healthy:
        assert result["false_rollbacks"] <= 2
        assert "detected" not in result
    else:
        assert result["detected"] >= 28
        assert result["requests_p50"] <= result["requests_p95"]
    assert set(result["peers"]) == set(PEERS)


def test_the_battery_finds_what_is_broken_and_keeps_what_is_not():
    result = battery.run(a_log(), Trial(), each=1)
    assert result["healthy"] == len(battery.FAULTS)
    assert result["false_rollbacks"] <= 1
    assert result["recall"] >= 0.7  # this log is a sixth of the one it is meant for
    assert result["faults"]["all outputs invalid"]["found"] == 1


def write_gentd26(path: Path, rows: int = 3000) -> Path:
    chance = random.Random(1)
    lines = ["gmt_create,predict_status,exec_time_seconds,groupId"]
    for second in range(rows):
        status = "FAILED" if chance.random() < 0.02 else "PENDING" if second % 500 == 3 else "SUCCEED"
        moment = f"2024-11-15 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        lines.append(f"{moment},{status},{round(chance.lognormvariate(3, 0.5))},G{chance.randrange(200)}")
    path.write_text("\n".join(lines))
    return path


def test_the_command_answers_in_json(tmp_path: Path, monkeypatch, capsys):
    log = write_gentd26(tmp_path / "log.csv")
    flags = ["--log", str(log), "--format", "gentd26", "--replays", "20", "--weight", "0.1", "--unit", "sticky"]
    for inject, counted in (([], "false_rollbacks"), (["--inject", "errors=30.0"], "detected")):
        monkeypatch.setattr(sys, "argv", ["rollout_power", *flags, *inject, "--json"])
        rollout_power.main()
        answer = json.loads(capsys.readouterr().out)
        assert answer["replays"] == 20
        assert {counted, "failures_p50", "failures_p95", "requests_p50", "requests_p95"} <= answer.keys()


def test_the_table_and_the_chart_show_every_rule(tmp_path: Path, monkeypatch, capsys):
    log, chart = write_gentd26(tmp_path / "log.csv"), tmp_path / "chart.svg"
    flags = ["--log", str(log), "--format", "gentd26", "--replays", "3", "--all", "--chart", str(chart)]
    monkeypatch.setattr(sys, "argv", ["rollout_power", *flags])
    rollout_power.main()
    shown = capsys.readouterr().out
    for name in ("switchyard", *PEERS):
        assert name in shown
        assert name in chart.read_text()


@pytest.mark.parametrize("flags", [["--inject", "mood=2"], ["--inject", "errors=none"], ["--inject", "errors=-1"]])
def test_a_wrong_effect_is_refused_with_what_is_right(tmp_path: Path, monkeypatch, flags: list[str]):
    log = write_gentd26(tmp_path / "log.csv", rows=10)
    monkeypatch.setattr(sys, "argv", ["rollout_power", "--log", str(log), "--format", "gentd26", *flags])
    with pytest.raises(SystemExit, match="errors=FACTOR"):
        rollout_power.main()


@pytest.mark.parametrize(
    "text, latency, failed, clients",
    [
        ("timestamp,value,container_ip\n2,20,a\n1,10,b\n", [10, 20], [False, False], 2),
        ("latency_ms,status,user\n5,200,u\n7,503,u\n9,404,v\n", [5, np.nan, 9], [False, True, False], 2),
        ("duration,ok\n1.5,true\n2.5,false\n", [1.5, np.nan], [False, True], 2),
        ("0.1\n0.2\nnonsense\n0.3\n", [0.1, 0.2, np.nan, 0.3], [False] * 4, 4),
        ("\ufeffapp,took\nx,3\nx,4\n", [3, 4], [False, False], 2),
    ],
)
def test_logs_of_latencies_are_read_as_they_come(tmp_path: Path, text: str, latency, failed, clients):
    for name, pack in (("log.csv", bytes), ("log.csv.gz", gzip.compress), ("log.csv.xz", lzma.compress)):
        path = tmp_path / name
        path.write_bytes(pack(text.encode()))
        log = read_log(path, "latency_csv")
        assert np.array_equal(log.latency, latency, equal_nan=True)
        assert log.failed.tolist() == failed
        assert log.clients == clients


@pytest.mark.parametrize("text", ["", "latency\n", "name\nx\n"])
def test_a_log_without_a_latency_is_refused(tmp_path: Path, text: str):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match=r"no rows|no column"):
        read_log(tmp_path / "log.csv", "latency_csv")


@pytest.mark.parametrize("rows, failing", [(1, 0.0), (7, 1.0), (200, 0.0), (200, 1.0)])
@pytest.mark.parametrize("trial", [Trial(errors=3.0), Trial(latency=2.0, sticky=True), Trial(weight=0.99)])
def test_short_and_odd_logs_have_an_answer(rows: int, failing: float, trial: Trial):
    assert rollout_power.run(a_log(rows, 5, failing), trial, 3, seed=1)["replays"] == 3


def test_the_rank_judge_sees_a_shift_and_no_shift():
    chance = np.random.default_rng(1)
    control = chance.normal(10, 1, 50)
    assert is_high(control + 3, chance.normal(10, 1, 50))
    assert not is_high(chance.normal(10, 1, 50), control)
    assert not is_high(np.array([]), control)
