"""Inference goes on whatever else is down: 0 failed, 0 lost, 0 answered twice."""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from support.machine import Machine
from support.waiting import wait_until

pytestmark = pytest.mark.e2e


@dataclass
class Load:
    """Clients that ask one after another and note each answer by its request id."""

    statuses: list[int] = field(default_factory=list)
    wrong_ids: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[object]:
        return [status for status in self.statuses if status != 200] + self.errors + self.wrong_ids


@contextlib.contextmanager
def load(machine: Machine, clients: int = 4) -> Iterator[Load]:
    """Run clients during the block; at its end every request that was sent has been answered or is in `errors`."""
    seen, ending = Load(), threading.Event()
    url = f"{machine.facts['gateway_url']}/v2/models/minilm/infer"
    headers = machine.headers

    def run(client: int) -> None:
        with httpx.Client(timeout=30) as http:
            for number in range(100_000):
                if ending.is_set():
                    return
                name = f"{client}-{number}"
                text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [name]}
                try:
                    answer = http.post(url, json={"id": name, "inputs": [text]}, headers=headers)
                except httpx.HTTPError as error:
                    seen.errors.append(repr(error))
                    continue
                seen.statuses.append(answer.status_code)
                if answer.status_code == 200 and answer.json()["id"] != name:
                    seen.wrong_ids.append(name)

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ending.set()
        for thread in threads:
            thread.join(60)


def answered(seen: Load, more: int) -> None:
    """Until `more` further requests were answered."""
    goal = len(seen.statuses) + more
    wait_until(lambda: len(seen.statuses) >= goal or seen.errors, 60, f"{more} more answers")


def test_console_stopped_database_gone_valkey_down(machine: Machine):
    database = machine.data / "console.sqlite3"
    with load(machine) as seen:
        answered(seen, 20)
        machine.drill("stop", "console")
        machine.drill("stop", "monitor")
        machine.drill("stop", "jobs")
        shutil.move(database, database.with_suffix(".away"))
        machine.drill("stop", "valkey")
        answered(seen, 100)
        machine.drill("start", "valkey")
        shutil.move(database.with_suffix(".away"), database)
        for name in ("jobs", "monitor", "console"):
            machine.drill("start", name)
        answered(seen, 20)
    assert not seen.failed
    wait_until(lambda: console_answers(machine), 30, "the console is back")


def console_answers(machine: Machine) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{machine.facts['console_url']}/healthz").status_code == 200
    return False


def test_a_killed_controller_is_followed_by_one_that_adopts(machine: Machine):
    before = {process.pid for process in machine.workers()}
    old = machine.facts["pids"]["controller"]
    with load(machine) as seen:
        answered(seen, 20)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: machine.facts["pids"]["controller"] not in (None, old), 30, "a new controller runs")
        answered(seen, 100)
    assert not seen.failed
    assert {process.pid for process in machine.workers()} == before


def test_a_killed_worker_loses_no_request_and_comes_back(machine: Machine):
    victim = worker_of(machine, "minilm")
    with load(machine, clients=8) as seen:
        answered(seen, 40)
        os.kill(victim, signal.SIGKILL)
        answered(seen, 100)
    assert not seen.failed
    assert worker_of(machine, "minilm") != victim


def worker_of(machine: Machine, model: str) -> int:
    import json

    def find() -> int | None:
        for path in (machine.data / "run").glob(f"{model}-1-*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                return int(json.loads(path.read_text())["pid"])
        return None

    return int(wait_until(find, 30, f"a worker of {model} v1"))


def test_traffic_moves_between_versions_without_a_failed_request(machine: Machine):
    """Also to one that must be loaded first: the old one answers until it is."""
    url = "/api/v1/models/minilm/traffic"
    with machine.visitor() as visitor, load(machine) as seen:
        for version in (2, 1):
            etag = visitor.get(f"{url}/").headers["ETag"]
            headers = {"If-Match": etag, "Idempotency-Key": f"to-{version}"}
            moved = visitor.post(f"{url}:set-stable", json={"version": version}, headers=headers)
            assert moved.status_code == 200, moved.text
            wait_until(lambda to=version: answered_by(machine) == str(to), 60, f"version {version} answers")
            answered(seen, 20)
    assert not seen.failed


def answered_by(machine: Machine) -> str:
    return machine.infer().headers["X-Model-Version"]
