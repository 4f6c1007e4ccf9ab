"""Processes of this machine: adoption, pids that changed hands, warm spares, bounded logs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest
from support.replicas import make_job, tiny_version
from support.waiting import wait_until

from inference.drivers.local import LocalDriver
from inference.drivers.log_files import bound_log, prune_logs
from inference.drivers.run_files import RunFile, is_alive, read_run_files, send_signal, start_ticks
from inference.spec import Format

DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def driver(short_tmp):
    driver = LocalDriver(short_tmp)
    yield driver
    driver.keep_spares(0)
    for one in driver.running():
        driver.stop(one.replica, 0)
    wait_until(lambda: not driver.running())


@pytest.fixture
def sleeper(short_tmp):
    """A process and the run file that it might have written."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    file = RunFile(
        replica="tiny-1-main-aaaa", pid=process.pid, started_at_s=0, address=f"unix:{short_tmp}/run/a.sock",
        model="tiny", version=1, digest="d", unit="main", device="cpu", start_ticks=start_ticks(process.pid),
    )  # fmt: skip
    (short_tmp / "run").mkdir(exist_ok=True)
    (short_tmp / "run" / "tiny-1-main-aaaa.json").write_bytes(msgspec.json.encode(file))
    yield file
    process.kill()
    process.wait()


def test_a_new_controller_adopts_living_workers_and_can_stop_them(short_tmp, driver):
    driver.start(make_job(short_tmp, tiny_version(short_tmp / "store"), "tiny-1-main-aaaa"))
    wait_until((short_tmp / "run" / "tiny-1-main-aaaa.json").exists)
    successor = LocalDriver(short_tmp)

    assert [(one.replica, one.pid) for one in successor.running()] == [
        (one.replica, one.pid) for one in driver.running()
    ]
    successor.stop("tiny-1-main-aaaa", 10)
    assert wait_until(driver.ended)[0].exit_code == 0
    assert wait_until(successor.ended)[0].replica == "tiny-1-main-aaaa"
    assert list((short_tmp / "run").iterdir()) == []


def test_a_pid_that_was_given_to_another_process_is_neither_adopted_nor_killed(short_tmp, sleeper):
    stranger = msgspec.structs.replace(sleeper, start_ticks=sleeper.start_ticks - 1)
    (short_tmp / "run" / "tiny-1-main-aaaa.json").write_bytes(msgspec.json.encode(stranger))
    driver = LocalDriver(short_tmp)

    assert driver.running() == []
    assert driver.ended()[0].exit_code is None
    send_signal(stranger, signal.SIGKILL)
    assert is_alive(sleeper)


def test_a_zombie_is_not_alive(sleeper):
    os.kill(sleeper.pid, signal.SIGKILL)
    wait_until(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE)

    assert not is_alive(sleeper)


@pytest.mark.parametrize("content", [b"", b"{", b'{"replica": "x"}', b"[1]"])
def test_a_run_file_that_cannot_be_read_is_removed(short_tmp, content):
    (short_tmp / "bad.json").write_bytes(content)

    assert read_run_files(short_tmp) == []
    assert not (short_tmp / "bad.json").exists()


def test_a_worker_that_does_not_drain_is_killed_when_its_time_is_up(short_tmp):
    now = [100.0]
    driver = LocalDriver(short_tmp, (sys.executable, "-c", DEAF), clock=lambda: now[0])
    driver.start(make_job(short_tmp, tiny_version(short_tmp / "store"), "tiny-1-main-aaaa"))
    wait_until(lambda: "deaf" in (short_tmp / "log" / "tiny-1-main-aaaa.log").read_text())
    driver.stop("tiny-1-main-aaaa", 5)
    assert len(driver.running()) == 1

    now[0] += 6
    assert wait_until(driver.ended)[0].exit_code == -9


def test_a_torch_worker_takes_the_warm_spare_and_an_onnx_worker_leaves_it(short_tmp, driver):
    onnx = tiny_version(short_tmp / "store")
    driver.keep_spares(1)
    spare = driver.spares.held[0].process.pid
    driver.start(make_job(short_tmp, onnx, "tiny-1-main-aaaa"))
    driver.start(make_job(short_tmp, msgspec.structs.replace(onnx, format=Format.PT2), "tiny-1-main-bbbb"))

    pids = {one.replica: one.pid for one in driver.running()}
    assert pids["tiny-1-main-bbbb"] == spare
    assert pids["tiny-1-main-aaaa"] != spare
    assert wait_until(lambda: (short_tmp / "log" / "tiny-1-main-bbbb.log").exists()), "its log is now the replica's"


def test_a_spare_is_called_warm_only_when_torch_is_imported(short_tmp, driver):
    assert driver.keep_spares(1) == 0
    wait_until(lambda: driver.keep_spares(1) == 1, deadline_s=60)

    assert "libtorch" in Path(f"/proc/{driver.spares.held[0].process.pid}/maps").read_text()


def test_a_log_is_cut_while_it_is_written_and_keeps_its_newer_half(tmp_path):
    path = tmp_path / "tiny-1-main-aaaa.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 1_000 + b"new\n" * 1_000)
        bound_log(path, max_bytes=4_000)
        writer.write(b"after\n")

    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "tiny-1-main-aaaa.log.1").read_bytes() == b"new\n" * 500


def test_only_the_newest_logs_of_dead_replicas_stay_and_others_are_not_touched(tmp_path):
    for number in range(10):
        path = tmp_path / f"tiny-1-main-{number:04x}.log"
        path.write_text("x")
        os.utime(path, (number, number))
    (tmp_path / "gateway.log").write_text("x")
    prune_logs(tmp_path, living={"tiny-1-main-0000"}, keep=3)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gateway.log", "tiny-1-main-0000.log", "tiny-1-main-0007.log", "tiny-1-main-0008.log", "tiny-1-main-0009.log",
    ]  # fmt: skip


def test_run_files_say_what_runs(short_tmp, driver):
    driver.start(make_job(short_tmp, tiny_version(short_tmp / "store"), "tiny-1-main-aaaa"))
    path = short_tmp / "run" / "tiny-1-main-aaaa.json"
    wait_until(path.exists)

    facts = json.loads(path.read_text())
    assert (facts["model"], facts["version"], facts["pid"]) == ("tiny", 1, driver.running()[0].pid)
