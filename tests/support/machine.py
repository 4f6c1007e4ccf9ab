"""A whole machine, as a newcomer starts it: `manage.py up` on free ports and a folder of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0
TEXT = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["The points are set."]}]}


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@dataclass
class Machine:
    """A running `up`, and what a test does to it."""

    data: Path
    process: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)

    @property
    def facts(self) -> dict:
        try:
            return json.loads((self.data / "up.json").read_text())
        except (OSError, ValueError):
            return {}

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.facts['api_key']}"}

    def infer(self, model: str = "minilm", version: str = "", body: dict | None = None) -> httpx.Response:
        path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
        return httpx.post(self.facts["gateway_url"] + path, json=body or TEXT, headers=self.headers, timeout=30)

    def answers(self, model: str = "minilm", version: str = "", body: dict | None = None) -> bool:
        with contextlib.suppress(httpx.HTTPError, KeyError):
            return self.infer(model, version, body).status_code == 200
        return False

    @contextlib.contextmanager
    def visitor(self) -> Iterator[httpx.Client]:
        """Somebody who logged in with the password that `up` printed; writes carry the CSRF token."""
        with httpx.Client(base_url=self.facts["console_url"], follow_redirects=True, timeout=30) as client:
            client.get("/accounts/login/")
            form = {"login": self.facts["admin_user"], "password": self.facts["admin_password"]}
            client.post("/accounts/login/", data=form | {"csrfmiddlewaretoken": client.cookies["switchyard_csrf"]})
            assert "switchyard_session" in client.cookies
            client.headers["X-CSRFToken"] = client.cookies["switchyard_csrf"]
            yield client

    def drill(self, verb: str, name: str) -> str:
        """`manage.py up --stop NAME` or `--start NAME` against this machine."""
        command = [sys.executable, "manage.py", "up", "--data", str(self.data), f"--{verb}", name]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def workers(self) -> list[psutil.Process]:
        found = []
        for path in (self.data / "run").glob("*.json"):
            with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError):
                found.append(psutil.Process(json.loads(path.read_text())["pid"]))
        return [process for process in found if process.is_running()]

    def family(self) -> list[psutil.Process]:
        """`up`, its children, theirs, and the workers, who may have lost their parent."""
        own = psutil.Process(self.process.pid)
        return list(
            {process.pid: process for process in [own, *own.children(recursive=True), *self.workers()]}.values()
        )


def run_command(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run to its end as a user would, in the project's root, without the tests' own settings."""
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=timeout_s, check=False
    )


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHYARD_")}
    kept.pop("REDIS_URL", None)
    return kept


@contextlib.contextmanager
def run_up(data: Path, *flags: str, ready: Callable[[Machine], bool] | None = None) -> Iterator[Machine]:
    """Start `up`, wait until it said it is up, and stop it by Ctrl-C at the end."""
    port, gateway, grpc, admin = free_ports(4)
    command = [
        sys.executable, "manage.py", "up", "--data", str(data), "--port", str(port), "--gateway-port", str(gateway),
        "--grpc-port", str(grpc), "--admin-port", str(admin), *flags,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    machine = Machine(data, process)
    reader = threading.Thread(target=lambda: machine.output.extend(iter(process.stdout.readline, "")), daemon=True)
    reader.start()
    try:
        end = time.monotonic() + START_S
        while not any("Switchyard is up" in line for line in list(machine.output)):
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError("up did not come up:\n" + "".join(machine.output))
            time.sleep(0.05)
        if ready:
            wait_until(lambda: ready(machine), START_S, "the machine is as the test needs it")
        yield machine
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                for one in machine.family():
                    one.kill()
        reader.join(5)


def all_demo_models(machine: Machine) -> bool:
    with contextlib.suppress(httpx.HTTPError, KeyError):
        ready = [
            httpx.get(f"{machine.facts['gateway_url']}/v2/models/{path}/ready", headers=machine.headers).status_code
            for path in ("minilm/versions/1", "minilm/versions/2", "digits")
        ]
        return ready == [200, 200, 200]
    return False
