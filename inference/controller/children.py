"""Gateway and controller as children of `local`: started with a lifeline, restarted when they die, stopped in order."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inference.config import Config
from inference.drivers.run_files import is_alive, read_run_files, send_signal
from inference.lifeline import VARIABLE, open_lifeline, watch_lifeline_in_thread
from inference.log import get_log

log = get_log()

LOOK_S = 0.25
ASK_TIMEOUT_S = 1.0
GRACE_S = 3.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0


class Source(Protocol):
    models: tuple[str, ...]

    def publish_if_changed(self) -> None: ...


@dataclass
class Child:
    program: str
    flags: list[str]
    process: subprocess.Popen[bytes] | None = None
    pause_s: float = 0.0
    start_at_s: float = 0.0


class Children:
    def __init__(self, config: Config, source: Source):
        self.config = config
        self.source = source
        self.url = f"{'https' if config.tls_cert else 'http'}://{config.host}:{config.port}"
        self.tls = trust_own(config.tls_cert) if config.tls_cert else None
        self.stopping = threading.Event()
        self.hurry = False
        gateway = ["--host", config.host, "--port", str(config.port), "--grpc-port", str(config.grpc_port),
                   "--admin-port", str(config.admin_port), "--processes", str(config.processes)]  # fmt: skip
        self.controller = Child("controller", [])
        self.gateway = Child("gateway", gateway)
        self.lifeline, self.hold = -1, -1

    def run(self) -> int:
        """Until a signal, or the end of our own lifeline. A second signal ends everything at once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.ask_to_stop())
        watch_lifeline_in_thread(self.stopping.set)
        self.lifeline, self.hold = open_lifeline()
        said_ready = False
        try:
            while not self.stopping.is_set():
                self.keep_running()
                self.source.publish_if_changed()
                if not said_ready and self.all_answer():
                    said_ready = True
                    sys.stdout.write(f"ready: {self.url}  ({', '.join(self.source.models) or 'no models'})\n")
                    sys.stdout.flush()
                self.stopping.wait(LOOK_S)
        finally:
            self.stop()
        return 0

    def ask_to_stop(self) -> None:
        self.hurry = self.stopping.is_set()
        self.stopping.set()

    def keep_running(self) -> None:
        now_s = time.monotonic()
        for child in (self.controller, self.gateway):
            if child.process is not None and child.process.poll() is not None:
                child.pause_s = min(max(FIRST_PAUSE_S, child.pause_s * 2), LONGEST_PAUSE_S)
                log.error("child_died", program=child.program, exit_code=child.process.returncode,
                          again_in_s=child.pause_s)  # fmt: skip
                child.process, child.start_at_s = None, now_s + child.pause_s
            if child.process is None and now_s >= child.start_at_s:
                child.process = self.start(child)

    def start(self, child: Child) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            VARIABLE: str(self.lifeline),
            "REDIS_URL": "",
            "SWITCHYARD_DATA": str(self.config.data),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "inference", child.program, *child.flags],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=(self.lifeline,),
            start_new_session=True,  # Ctrl-C reaches us alone: we stop the others in order
        )

    def all_answer(self) -> bool:
        return bool(self.source.models) and all(self.answers(f"/v2/models/{name}/ready") for name in self.source.models)

    def answers(self, path: str) -> bool:
        try:
            url = self.url + path
            with urllib.request.urlopen(url, timeout=ASK_TIMEOUT_S, context=self.tls) as response:  # noqa: S310  our own
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    # Stop

    def stop(self) -> None:
        """Gateway first, so that what it took is answered; then the controller; then, by the lifeline, the workers."""
        deadline_s = time.monotonic() + self.config.drain_s + GRACE_S
        for child in (self.gateway, self.controller):
            self.stop_child(child, deadline_s)
        os.close(self.hold)
        os.close(self.lifeline)
        self.await_workers(deadline_s)

    def stop_child(self, child: Child, deadline_s: float) -> None:
        if child.process is None:
            return
        child.process.terminate()
        while child.process.poll() is None and time.monotonic() < deadline_s and not self.hurry:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(LOOK_S)
        if child.process.poll() is None:
            log.warning("child_killed", program=child.program)
            child.process.kill()
            child.process.wait()

    def await_workers(self, deadline_s: float) -> None:
        run_dir: Path = self.config.data / "run"
        while living := [file for file in read_run_files(run_dir) if is_alive(file)]:
            if self.hurry or time.monotonic() >= deadline_s:
                for file in living:
                    log.warning("worker_killed", replica=file.replica)
                    send_signal(file, signal.SIGKILL)
                return
            time.sleep(0.05)


def trust_own(certificate: str) -> ssl.SSLContext:
    """For asking our own gateway, by its address: it has exactly this certificate. Raises OSError."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway does: TIME_WAIT is no claim
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
