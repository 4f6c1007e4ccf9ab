"""What `manage.py up` refuses before it starts anything."""

import sys
from pathlib import Path

from support.machine import run_command


def up(data: Path, *flags: str) -> str:
    done = run_command([sys.executable, "manage.py", "up", "--data", str(data), *flags], 30)
    assert done.returncode == 1
    return done.stderr


def test_a_generated_password_guards_no_door_to_the_network(short_tmp: Path):
    assert "SWITCHYARD_ADMIN_PASSWORD" in up(short_tmp, "--host", "0.0.0.0")


def test_a_drill_names_a_program_that_there_is(short_tmp: Path):
    assert "'teapot' is none of them" in up(short_tmp, "--stop", "teapot")


def test_nothing_is_let_go_where_nothing_runs(short_tmp: Path):
    assert "Nothing runs" in up(short_tmp, "--start", "console")
