import json
import sys

import pytest

from bench import decisions
from inference.policy.cache.registry import STRATEGIES


def test_each_decision_is_timed_and_exact(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--keys", "20000", "--units", "3", "--batches", "2000", "--requests", "3000", "--rounds", "1", "--json"]
    monkeypatch.setattr(sys, "argv", ["decisions", *small])
    assert decisions.main() == 0
    rows = {row["decision"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(rows) == {"choose_version", "sticky shares", "scale", "cost", "cache"}
    assert rows["sticky shares"]["moved_back"] == 0
    assert rows["sticky shares"]["points_off"] < 2.0
    assert rows["cost"]["batches"] == 2000
    assert rows["cost"]["difference_nano"] == 0
    assert rows["cost"]["metered_nano"] > 0
    assert all(rows["cache"][f"{name}_ns"] > 0 for name in STRATEGIES)
