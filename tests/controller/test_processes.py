"""The data plane as real processes: one command, crashes, successors, and nothing left behind."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest
import redis
from support.replicas import ROOT, tiny_version
from support.valkey import run_own_valkey
from support.versions import make_model
from support.waiting import wait_until

from inference import status
from inference.spec import LocalSpec, PoolSpec, Version, encode
from inference.sync.files import DocumentFolder

pytestmark = pytest.mark.e2e

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
ANSWER = [3, 5, 7, 9]


def two_versions(store: Path) -> tuple[Version, Version]:
    return tiny_version(store), msgspec.structs.replace(tiny_version(store, delay_s=0.001), number=2)


def worker_pids(data: Path) -> dict[str, int]:
    found = {}
    for path in (data / "run").glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            found[path.stem] = json.loads(path.read_text())["pid"]
    return found


def family_of(data: Path) -> list[psutil.Process]:
    """Every living process that works on this data folder, whoever its parent is."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("SWITCHYARD_DATA") == str(data):
                found.append(process)
    return found


class Load:
    """Requests one after another, from a thread, until stopped; counts what came back."""

    def __init__(self, url: str, key: str):
        self.counts: Counter[str] = Counter()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.send, args=(url, key), daemon=True)

    def send(self, url: str, key: str) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=20) as client:
            while not self.stopped.is_set():
                try:
                    answer = client.post(f"{url}/v2/models/tiny/infer", json=BODY)
                    right = answer.status_code == 200 and answer.json()["outputs"][0]["data"] == ANSWER
                    self.counts[f"version {answer.headers['x-model-version']}" if right else answer.text[:200]] += 1
                except httpx.HTTPError as error:
                    self.counts[repr(error)] += 1

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopped.set()
        self.thread.join(20)

    @property
    def failed(self) -> dict[str, int]:
        return {what: count for what, count in self.counts.items() if not what.startswith("version ")}


class Local:
    """`python -m inference local`, as a person starts it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.data = folder / "data"
        self.versions = two_versions(folder / "store")
        self.write(stable=1)
        command = [sys.executable, "-m", "inference", "local", "--spec", str(folder / "spec.json"), "--data",
                   str(self.data), "--port", "0", "--admin-port", "0"]  # fmt: skip
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.key = self.process.stdout.readline().split()[-1]
        self.url = re.search(r"http://\S+", self.process.stdout.readline())[0]

    def write(self, stable: int) -> None:
        fresh = self.folder / "spec.new"
        fresh.write_bytes(encode(LocalSpec(models=(make_model("tiny", *self.versions, stable=stable),))))
        fresh.replace(self.folder / "spec.json")

    def child(self, program: str) -> psutil.Process | None:
        for one in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if program in one.cmdline():
                    return one
        return None


@pytest.fixture
def local(short_tmp):
    local = Local(short_tmp)
    yield local
    local.process.kill()
    local.process.wait()
    wait_until(lambda: not family_of(local.data), deadline_s=30)


def test_one_command_answers_and_ctrl_c_leaves_nothing(local):
    assert httpx.get(f"{local.url}/v2/health/ready").status_code == 200
    assert len(family_of(local.data)) >= 3
    local.process.send_signal(signal.SIGINT)

    assert local.process.wait(30) == 0
    assert family_of(local.data) == []
    assert worker_pids(local.data) == {}


def test_a_kill_of_the_command_leaves_no_orphan(local):
    local.process.kill()
    local.process.wait()

    wait_until(lambda: not family_of(local.data), deadline_s=10, why="the lifeline ends all of them")


def test_an_operator_unloads_and_loads_a_model_through_the_gateway(local):
    with httpx.Client(base_url=local.url, headers={"Authorization": f"Bearer {local.key}"}, timeout=30) as client:

        def states() -> set[str]:
            return {entry["state"] for entry in client.post("/v2/repository/index").json()}

        assert "model_repository" in client.get("/v2").json()["extensions"]
        answer = client.post("/v2/repository/models/tiny/unload")
        assert (answer.status_code, answer.json()) == (200, {"name": "tiny", "unload": True})
        wait_until(lambda: not worker_pids(local.data), deadline_s=20)
        refused = client.post("/v2/models/tiny/infer", json=BODY)
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert "unloaded" in refused.json()["error"]
        assert client.get("/v2/models/tiny/ready").status_code == 503
        assert states() <= {"UNLOADING", "UNAVAILABLE"}

        answer = client.post("/v2/repository/models/tiny/load", json={})
        assert (answer.status_code, answer.json()) == (200, {"name": "tiny", "load": True})
        assert client.post("/v2/models/tiny/infer", json=BODY).json()["outputs"][0]["data"] == ANSWER
        assert states() == {"READY"}

        client.post("/v2/repository/models/tiny/unload")
        local.write(stable=2)  # the next generation of the spec, and no hint any more
        wait_until(lambda: client.get("/v2/models/tiny/ready").status_code == 200, deadline_s=30)


def test_traffic_moves_to_another_version_without_a_failed_request(local):
    with Load(local.url, local.key) as load:
        wait_until(lambda: load.counts["version 1"] > 20)
        local.write(stable=2)
        wait_until(lambda: load.counts["version 2"] > 20, deadline_s=30)

    assert load.failed == {}


def test_a_killed_worker_is_back_within_two_seconds_and_its_load_time_and_costs_no_request(local):
    (replica, pid), *_ = [(name, pid) for name, pid in worker_pids(local.data).items() if name.startswith("tiny-1")]
    local.write(stable=1)
    wait_until(lambda: len(worker_pids(local.data)) == 2, deadline_s=30)
    with Load(local.url, local.key) as load:
        wait_until(lambda: load.counts["version 1"] > 20)
        psutil.Process(pid).kill()
        start = time.monotonic()
        wait_until(lambda: worker_pids(local.data).get(replica, pid) != pid, deadline_s=30)
        assert time.monotonic() - start < 2.0 + 3.0, "two seconds, and the start of a process on a busy machine"
        before = load.counts["version 1"]
        wait_until(lambda: load.counts["version 1"] > before + 20, deadline_s=30)

    assert load.failed == {}


def test_a_killed_controller_is_replaced_its_successor_adopts_and_no_request_fails(local):
    wait_until(lambda: len(worker_pids(local.data)) == 2, deadline_s=30)
    before = worker_pids(local.data)
    with Load(local.url, local.key) as load:
        controller = local.child("controller")
        controller.kill()
        controller.wait(5)
        wait_until(lambda: local.child("controller"), deadline_s=10, why="another is started")
        endpoints = local.data / "documents" / "endpoints" / "default.json"
        wait_until(lambda: json.loads(endpoints.read_bytes())["fence"] == 2, deadline_s=20)
        seen = load.counts["version 1"]
        wait_until(lambda: load.counts["version 1"] > seen + 20)

    assert worker_pids(local.data) == before, "0 restarts"
    assert load.failed == {}


def test_a_spec_that_cannot_be_read_is_refused_by_name_and_what_runs_goes_on(local):
    (local.folder / "spec.json").write_text('{"models": [{"name": "tiny", "colour": "red"}]}')
    with Load(local.url, local.key) as load:
        wait_until(lambda: load.counts["version 1"] > 20)
    assert load.failed == {}

    command = [sys.executable, "-m", "inference", "local", "--spec", str(local.folder / "spec.json")]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 2
    assert "colour" in refused.stderr


def test_a_disk_that_takes_no_documents_stops_nothing_and_they_follow_when_it_does(local):
    pools = local.data / "documents" / "pool"
    pools.rename(local.folder / "aside")
    pools.write_text("no folder")
    with Load(local.url, local.key) as load:
        local.write(stable=2)
        wait_until(lambda: load.counts["version 1"] > 300)
        pools.unlink()
        (local.folder / "aside").rename(pools)
        wait_until(lambda: load.counts["version 2"] > 20, deadline_s=30)
    assert load.failed == {}
    assert local.process.poll() is None


@pytest.fixture
def controller(short_tmp):
    """Start a controller over the test's own Valkey; workers end with the test's lifeline."""
    read_end, write_end = os.pipe()
    environ = {**os.environ, "SWITCHYARD_DATA": str(short_tmp), "REDIS_URL": f"unix://{short_tmp}/valkey.sock",
               "SWITCHYARD_LIFELINE_FD": str(read_end)}  # fmt: skip
    processes = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "inference", "controller"]
        with (short_tmp / "controller.log").open("ab") as log:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environ, pass_fds=(read_end,), stderr=log))
        return processes[-1]

    yield start
    os.close(write_end)
    for process in processes:
        process.wait(20)
    wait_until(lambda: not family_of(short_tmp), deadline_s=30)
    os.close(read_end)


@pytest.fixture
def valkey_process(short_tmp):
    with run_own_valkey(short_tmp) as process:
        wait_until((short_tmp / "valkey.sock").exists)
        yield process


def test_over_redis_rows_show_each_worker_and_those_of_the_dead_go(valkey_process, short_tmp, controller):
    folder = DocumentFolder(short_tmp / "documents")
    first, _ = two_versions(short_tmp / "store")
    folder.write("pool", "default", PoolSpec(name="default", epoch="e", generation=1, spares=1))
    folder.write("spec", "tiny", make_model("tiny", first))
    with redis.Redis.from_url(f"unix://{short_tmp}/valkey.sock") as client:
        client.hset(status.WORKERS, "left-behind-1-main-0000", "{}")
        process = controller()

        def rows() -> dict[str, status.WorkerStatus]:
            return {
                name.decode(): msgspec.json.decode(raw, type=status.WorkerStatus)
                for name, raw in client.hgetall(status.WORKERS).items()
                if raw != b"{}"
            }

        wait_until(lambda: [row.state.value for row in rows().values()] == ["ready"], deadline_s=30)
        (row,) = rows().values()
        assert row.pid == worker_pids(short_tmp)[row.replica]
        assert row.device_name
        wait_until(lambda: not client.hexists(status.WORKERS, "left-behind-1-main-0000"))
        assert client.hget("sy:doc:endpoints", "default") is not None

        (told,) = client.hvals(status.CONTROLLER)
        assert msgspec.json.decode(told, type=status.ControllerStatus).fence == 1
        kinds = {json.loads(fields[b"d"])["kind"] for _, fields in client.xrange(status.EVENTS)}
        assert {"worker.ready", "version.ready"} <= kinds

        # Its successor takes the lease at once, under a higher fence, and leaves the worker as it is.
        pid = row.pid
        process.kill()
        process.wait()
        controller()
        wait_until(
            lambda: msgspec.json.decode(client.hget("sy:doc:endpoints", "default"), type=status.Endpoints).fence == 2,
            deadline_s=20,
        )
        assert worker_pids(short_tmp) == {row.replica: pid}
        wait_until(lambda: rows()[row.replica].state.value == "ready")


def test_while_valkey_hangs_a_crashed_worker_comes_back_and_the_folder_says_so(valkey_process, short_tmp, controller):
    folder = DocumentFolder(short_tmp / "documents")
    folder.write("pool", "default", PoolSpec(name="default", epoch="e", generation=1, spares=0))
    folder.write("spec", "tiny", make_model("tiny", tiny_version(short_tmp / "store")))
    controller()
    gateway = DocumentFolder(short_tmp / "documents")  # what a gateway of this node would hear

    def endpoints() -> list[str]:
        return [
            one.state.value for kind, _, document in gateway.load() if kind == "endpoints" for one in document.replicas
        ]

    wait_until(lambda: endpoints() == ["ready"], deadline_s=30)
    (pid,) = worker_pids(short_tmp).values()
    valkey_process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: "lease_unknown" in (short_tmp / "controller.log").read_text(), why="it misses its lease")
        psutil.Process(pid).kill()
        wait_until(lambda: endpoints() == ["starting"])
        wait_until(lambda: endpoints() == ["ready"], deadline_s=20)
        assert list(worker_pids(short_tmp).values()) != [pid]
    finally:
        valkey_process.send_signal(signal.SIGCONT)
    with redis.Redis.from_url(f"unix://{short_tmp}/valkey.sock") as client:
        wait_until(lambda: b'"state":"ready"' in (client.hget("sy:doc:endpoints", "default") or b""), deadline_s=20)
