"""The tail of a worker's log: whole lines, the last ones, and nothing outside the folder."""

import pytest

from console.fleet.logs import MOST_LINES, TAIL_BYTES, read_tail


@pytest.fixture
def log_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    (tmp_path / "log").mkdir()
    (tmp_path / "secret_key").write_text("secret")
    return tmp_path / "log"


def test_the_last_lines_whole(log_folder):
    lines = [f"{number:05d} " + "x" * 94 for number in range(1000)]
    (log_folder / "minilm-1-main-0a1b2c.log").write_text("\n".join(lines) + "\n")
    assert len("\n".join(lines)) > TAIL_BYTES
    assert read_tail("minilm-1-main-0a1b2c") == lines[-MOST_LINES:]


def test_a_worker_elsewhere_has_no_log_here(log_folder):
    assert read_tail("digits-1-infer-ffffff") is None


@pytest.mark.parametrize("name", ["../secret_key", "..", "a/../../secret_key", "", "A", "x" * 300, "minilm\n"])
def test_no_name_leads_out_of_the_folder(log_folder, name):
    assert read_tail(name) is None
