"""What `make run` promises a newcomer."""

import ipaddress
import json
import os
import signal
import stat
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from support.machine import Machine, run_command, run_up
from support.waiting import wait_until

pytestmark = pytest.mark.e2e
FIELDS = [
    "console_url", "gateway_url", "admin_url", "grpc_url", "api_key", "admin_user", "admin_password", "login_url",
    "data_dir", "pids",
]  # fmt: skip


def test_facts_are_whole_and_private(machine: Machine):
    path = machine.data / "up.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    facts = json.loads(path.read_text())
    assert list(facts) == FIELDS
    assert set(facts["pids"]) == {"console", "monitor", "jobs", "gateway", "controller", "valkey"}
    assert all(psutil.pid_exists(pid) for pid in facts["pids"].values())
    assert facts["grpc_url"] in "".join(machine.output)
    assert facts["admin_password"]


def test_a_second_up_finds_the_first(machine: Machine):
    command = [sys.executable, "manage.py", "up", "--data", str(machine.data)]
    done = run_command(command, 60)
    assert done.returncode == 0
    assert machine.facts["console_url"] in done.stdout


def test_the_login_link_works_once(machine: Machine):
    url = machine.facts["login_url"]
    with httpx.Client(follow_redirects=True) as first, httpx.Client(follow_redirects=True) as second:
        assert "Overview" in first.get(url).text
        assert "switchyard_session" in first.cookies
        second.get(url)
        assert "switchyard_session" not in second.cookies


def test_everything_listens_on_loopback_alone(machine: Machine):
    for process in machine.family():
        for connection in process.connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                address = ipaddress.ip_address(connection.laddr.ip)
                mapped = getattr(address, "ipv4_mapped", None)  # so gRPC writes 127.0.0.1
                assert (mapped or address).is_loopback, process.cmdline()


def test_a_program_that_dies_comes_back(machine: Machine):
    before = machine.facts["pids"]["monitor"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: machine.facts["pids"]["monitor"] not in (None, before), 20, "monitor is back in up.json")


def test_ctrl_c_stops_everything_in_order(short_tmp: Path):
    with run_up(short_tmp, "--no-demo") as up:
        family = up.family()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(60) == 0
        assert not [process.cmdline() for process in family if alive(process)]
        assert not any("killing" in line.lower() for line in up.output)


def test_nothing_outlives_a_killed_up(short_tmp: Path):
    with run_up(short_tmp) as up:
        family = up.family()
        assert len(family) >= 8
        up.process.kill()
        up.process.wait(10)
        wait_until(lambda: not any(alive(process) for process in family), 40, "every program of it is gone")


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_first_five_minutes_work(short_tmp: Path):
    command = [sys.executable, "manage.py", "up", "--check", "--data", str(short_tmp), "--port", "18600"]
    command += ["--gateway-port", "18680", "--grpc-port", "18681", "--admin-port", "18682"]
    done = run_command(command, 170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The first five minutes work." in done.stdout


def test_a_removed_demo_stays_removed_and_a_restart_keeps_who_may_come_in(short_tmp: Path):
    with run_up(short_tmp) as first:
        facts = first.facts
        with first.visitor() as visitor:
            assert visitor.delete("/api/v1/system/demo/").status_code in (200, 202, 204)
            wait_until(lambda: not visitor.get("/api/v1/models/").json()["results"], 30, "the demo models are gone")
    with run_up(short_tmp) as second:
        assert second.facts["api_key"] == facts["api_key"]
        assert second.facts["admin_password"] == facts["admin_password"]
        assert second.facts["pids"].keys() == facts["pids"].keys()
        with second.visitor() as visitor:
            assert visitor.get("/api/v1/models/").json()["results"] == []
