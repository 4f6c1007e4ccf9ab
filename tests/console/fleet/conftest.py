"""Reports as the data plane writes them, in the real Valkey."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from support.registered import data_folder, make_model, make_version, model

from console.fleet.reports import mailbox
from inference import spec, status

__all__ = ["data_folder", "make_model", "make_version", "model"]


@pytest.fixture(autouse=True)
def empty_mailbox(valkey: str) -> Iterator[None]:
    """The last good reports are kept by the process; each test starts without."""
    mailbox.forget()
    yield
    mailbox.forget()


@pytest.fixture
def report(valkey: str) -> Callable[..., None]:
    """`report(worker("a"))`: put a status where its writer would."""
    client = redis.Redis.from_url(valkey)
    places = {
        status.WorkerStatus: (status.WORKERS, "replica"),
        status.GatewayStatus: (status.GATEWAYS, "id"),
        status.ControllerStatus: (status.CONTROLLER, "id"),
    }

    def write(document: Any) -> None:
        key, field = places[type(document)]
        client.hset(key, getattr(document, field), spec.encode(document))

    return write


@pytest.fixture
def worker() -> Callable[..., status.WorkerStatus]:
    def make(replica: str, age_s: float = 0.0, **fields: Any) -> status.WorkerStatus:
        now = time.time()
        values: dict[str, Any] = {
            "pool": "default", "node": "local", "model": "echo", "version": 1, "unit": "main", "digest": "0" * 64,
            "device": "cpu", "device_name": "CPU", "state": status.ReplicaState.READY, "pid": 1,
            "at_s": now - age_s, "started_at_s": now - 100,
        }  # fmt: skip
        return status.WorkerStatus(replica=replica, **{**values, **fields})

    return make
