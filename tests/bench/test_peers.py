"""The figures beside other servers: medians, tables, charts and checks, without a server and without a network."""

import argparse
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from bench.peers.__main__ import Bench
from bench.peers.chart import draw
from bench.peers.document import replace_part, settings_table, write_document
from bench.peers.environments import DONE, is_made, wanted
from bench.peers.figures import Run, medians, table
from bench.peers.roster import BY_NAME, HEAVY, OURS, PEERS, WORKS
from bench.peers.servers import models, oip
from bench.peers.servers.settings import VARIABLE, Settings
from bench.peers.works import Work, request, sample
from bench.peers.wrk import Figures

SERVERS = Path(__file__).parents[2] / "bench" / "peers" / "servers"


def run(server: str, c: int, rps: float, errors: int = 0, work: str = "w1") -> Run:
    return Run(work, server, c, Figures(rps, p50_ms=c / 10, p99_ms=c, errors=errors, busy_percent=99, steal_percent=0))


RUNS = [
    run(OURS, 1, 300), run(OURS, 64, 3000), run("triton", 1, 100), run("triton", 64, 2000, errors=2),
    run(OURS, 1, 100), run(OURS, 64, 3200), run("triton", 1, 50), run("triton", 64, 1000),
    run(OURS, 1, 200), run("triton", 1, 500),
]  # fmt: skip


def test_a_figure_is_the_median_of_its_repetitions_and_errors_add_up():
    found = {(row.server, row.c): row for row in medians(RUNS)}
    assert found[OURS, 1].rps == 200
    assert (found[OURS, 1].low_rps, found[OURS, 1].high_rps, found[OURS, 1].repeated) == (100, 300, 3)
    assert found["triton", 64].rps == 1500
    assert found["triton", 64].errors == 2


def test_a_printed_line_has_the_promised_fields():
    line = json.loads(medians(RUNS)[0].line())
    assert list(line) == ["work", "server", "c", "rps", "p50_ms", "p99_ms", "errors"]
    assert line == {"work": "w1", "server": OURS, "c": 1, "rps": 200, "p50_ms": 0.1, "p99_ms": 1, "errors": 0}


def test_the_table_says_how_many_times_ours_is_theirs():
    lines = table(medians(RUNS), OURS).splitlines()
    ours, theirs = (next(line for line in lines if name in line).split(" | ") for name in (OURS, "triton"))
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert ours[1:3] == ["200 (100–300)", "–"]
    assert theirs[1:3] == ["100 (50–500)", "2.00"]
    assert theirs[-1].startswith("2")


def test_the_table_leaves_open_what_was_not_measured():
    lines = table(medians([run("triton", 1, 100), run("mosec-b16", 16, 0)]), OURS).splitlines()
    assert lines[2].split(" | ")[1:5] == ["100", "–", "0.10", "1.0"]
    assert lines[3].split(" | ")[1:6] == ["–", "–", "–", "–", "0"]


def test_the_chart_is_a_picture_with_a_bar_for_each_figure():
    picture = ET.fromstring(draw("Tiny & <linear>", medians(RUNS), (1, 16, 64), OURS))
    bars = picture.findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["ours", "bar", "ours", "bar"]
    assert float(bars[0].get("width")) == 2 * float(bars[1].get("width"))
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "1,500, 2 errors" in texts


CONDITIONS = {
    "at": "2026-01-01", "commit": "abc", "uncommitted": False, "seconds": 5, "repeat": 2,
    "machine": {"cores": 2, "cpu": "a processor", "system": "Linux", "python": "3.11"},
    "load_average": {"before": [0.1, 0.2, 0.3], "after": [2.0, 1.0, 0.5]},
}  # fmt: skip
PAGE = """Before
<!-- settings -->
<!-- /settings -->
between
<!-- figures -->
old figures
<!-- /figures -->
<!-- latency -->
old latencies
<!-- /latency -->
"""


def test_the_page_keeps_what_stands_around_its_tables(tmp_path: Path):
    page, charts = tmp_path / "performance.md", tmp_path / "charts"
    page.write_text(PAGE)
    found = {
        "skipped": ["ray: missing"],
        "rows": [{name: getattr(row, name) for name in row.__struct_fields__} for row in medians(RUNS)],
        "runs": [{"figures": {"steal_percent": 1.5}}],
    }
    (tmp_path / "peers.json").write_text(json.dumps(CONDITIONS | found))
    write_document(tmp_path, page, charts)
    text = page.read_text()
    assert text.startswith("Before\n")
    assert "\nbetween\n" in text
    assert "old figures" not in text
    assert "old latencies" in text
    assert settings_table() in text
    assert "0.1 0.2 0.3" in text
    assert "ray: missing" in text
    assert (charts / "w1.svg").is_file()
    write_document(tmp_path, page, charts)
    assert page.read_text() == text


def test_the_page_shows_each_load(tmp_path: Path):
    page = tmp_path / "performance.md"
    page.write_text(PAGE)
    row = {"server": OURS, "p50_ms": 1.5, "p99_ms": 9.25, "requests": 70, "errors": 0, "sent_late_p99_ms": 0.5}
    rows = [row | {"load": load, "rate": 100 * load} for load in (0.9, 0.3)]
    (tmp_path / "latency.json").write_text(json.dumps(CONDITIONS | {"capacity": {OURS: 100.4}, "rows": rows}))
    write_document(tmp_path, page, tmp_path / "charts")
    lines = [line for line in page.read_text().splitlines() if line.startswith("| 0.")]
    assert [line.split(" | ")[:5] for line in lines] == [
        ["| 0.3", "30.0", OURS, "1.5", "9.25"],
        ["| 0.9", "90.0", OURS, "1.5", "9.25"],
    ]
    assert f"{OURS} 100" in page.read_text()


def test_a_page_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="figures"):
        replace_part("no marks", "figures", "new")


def answer(values: list[float]) -> dict:
    return oip.answer("w1", "1", np.array([values], np.float32))


def test_only_the_bare_models_numbers_pass():
    work = Work("w1", request("w1"), models.tiny(*sample("w1")).ravel().tolist())
    right = work.expected
    assert work.check(answer(right)) == ""
    assert work.check([answer(right)]) == ""
    assert "differ" in work.check(answer([right[0] + 0.001, *right[1:]]))
    assert "2 numbers" in work.check(answer(right[:2]))
    assert "not an answer" in work.check({"error": "not ready"})
    assert "differ" in work.check(answer([float("nan"), *right[1:]]))


@pytest.mark.parametrize("model", sorted(models.SHAPES))
def test_a_request_says_what_the_model_takes(model: str):
    arrays = oip.arrays(model, request(model))
    for taken, values in zip(arrays, sample(model), strict=True):
        assert taken.dtype == values.dtype
        assert np.array_equal(taken, values)


def test_a_batch_gives_each_request_its_own_rows():
    asked = [[np.full((rows, 4), rows, np.float32)] for rows in (1, 3, 2)]
    for found, (values,) in zip(models.batched(models.tiny, asked), asked, strict=True):
        assert np.allclose(found, models.tiny(values), atol=1e-6)


def test_a_server_reads_the_settings_that_it_was_given(monkeypatch: pytest.MonkeyPatch):
    settings = Settings("cache", workers=2, max_batch=8, wait_ms=0.5, port=9, folder="/f", models="/m")
    monkeypatch.setenv(VARIABLE, settings.to_environment()[VARIABLE])
    assert Settings.from_environment() == settings
    assert settings.model == "w1"


def test_a_missing_environment_is_said_and_leaves_others_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for package in wanted(BY_NAME["mosec"]):
        mark = tmp_path / "mosec" / DONE
        mark.parent.mkdir(exist_ok=True)
        mark.write_text((mark.read_text() if mark.exists() else "") + package + "\n")
    bench = Bench(argparse.Namespace(servers=(OURS, "triton", "mosec"), envs=tmp_path))
    assert {row.label for row in bench.rows("w2")} == {OURS, "mosec-b8", "mosec-b32"}
    assert "triton is left out: its environment is missing; make it with --setup" in capsys.readouterr().err
    assert bench.skipped


def test_an_environment_of_other_releases_is_not_taken_for_made(tmp_path: Path):
    mark = tmp_path / "triton" / DONE
    mark.parent.mkdir()
    mark.write_text("nvidia-pytriton==0.1.0\n")
    assert not is_made(tmp_path, BY_NAME["triton"])


def test_each_peer_has_its_server_and_rows_for_what_is_compared():
    for peer in PEERS:
        assert (SERVERS / f"{peer.name}.py").is_file()
        assert {settings.work for _, settings in peer.rows} <= set(WORKS)
        assert all(peer.rows_of(work) for work in ("w1", *HEAVY))
