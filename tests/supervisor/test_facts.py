"""Ports that are free, facts that are private, drills that reach the running machine."""

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from console.supervisor.control import ask, serve_control
from console.supervisor.facts import FIELDS, read_facts, write_facts
from console.supervisor.layout import run_dir
from console.supervisor.ports import next_free_port


def test_a_taken_port_gives_the_next_free_one():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        found = next_free_port("127.0.0.1", taken)
        assert taken < found <= taken + 200


def test_ports_of_one_plan_differ():
    first = next_free_port("127.0.0.1", 18_000)
    assert next_free_port("127.0.0.1", first, taken=[first]) != first


def test_facts_are_written_whole_in_order_and_for_the_owner_alone(tmp_path: Path):
    write_facts(tmp_path, {"api_key": "sy_x", "unknown": 1})
    assert stat.S_IMODE((tmp_path / "up.json").stat().st_mode) == 0o600
    assert tuple(read_facts(tmp_path)) == FIELDS
    assert read_facts(tmp_path)["api_key"] == "sy_x"


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_unreadable_facts_are_no_facts(tmp_path: Path, content: str):
    (tmp_path / "up.json").write_text(content)
    assert read_facts(tmp_path) == {}


def test_a_long_data_path_gets_a_short_private_folder_for_sockets(tmp_path: Path):
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    folder = run_dir(deep)
    assert len(str(folder)) < 30
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert run_dir(deep) == folder
    folder.rmdir()


@pytest.mark.asyncio
async def test_a_drill_reaches_the_machine_and_mistakes_come_back_as_sentences(short_tmp: Path):
    async def act(verb: str, name: str) -> str:
        if name != "console":
            raise ValueError(f"No program is called {name!r}.")
        return f"{verb} {name}"

    path = short_tmp / "up.sock"
    server = await serve_control(path, act)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await asyncio.to_thread(ask, path, "stop", "console") == {"ok": "stop console"}
    assert "No program" in (await asyncio.to_thread(ask, path, "stop", "teapot"))["error"]
    server.close()
