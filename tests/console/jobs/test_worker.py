"""`manage.py jobs` as it runs in production: killed, told to end, and left by whoever held its lifeline."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from support.gateway_stand import Stand, stand_in
from support.waiting import wait_until

from console.jobs import services
from console.jobs.choices import OperationState
from console.jobs.models import Operation
from console.lib.actors import SYSTEM
from console.serving.services import set_stable_version
from inference.lifeline import VARIABLE, open_lifeline

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def gateway() -> Iterator[Stand]:
    with stand_in() as stand:
        yield stand


@pytest.fixture
def jobs(data_folder: Path, gateway: Stand) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the program on this test's database and folder."""
    running: list[subprocess.Popen[bytes]] = []

    def start(lifeline: int | None = None) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
            "SWITCHYARD_DATA": str(data_folder),
            "SWITCHYARD_GATEWAY_URL": gateway.url,
        }
        if lifeline is not None:
            environment[VARIABLE] = str(lifeline)
        process = subprocess.Popen(
            [sys.executable, "manage.py", "jobs"],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.DEVNULL,
            pass_fds=() if lifeline is None else (lifeline,),
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait(5)


@pytest.fixture
def traffic(model: Any, make_version: Callable) -> Operation:
    """A minute of work, queued."""
    set_stable_version(model=model, to=make_version(model), seen=0, actor=SYSTEM)
    return services.start_demo_traffic(model=model, rate_per_s=20, seconds=60, actor=SYSTEM)


def state_of(operation: Operation) -> str:
    return Operation.objects.values_list("state", flat=True).get(pk=operation.pk)


def await_state(operation: Operation, state: OperationState) -> None:
    wait_until(lambda: state_of(operation) == state, 30, f"the operation is {state}")


def test_killed_work_is_found_by_the_next_program_and_said_to_have_ended(
    jobs: Callable[..., Any], traffic: Operation, gateway: Stand
) -> None:
    first = jobs()
    wait_until(lambda: len(gateway.requests) > 5, 30, "traffic flows")
    first.send_signal(signal.SIGKILL)
    first.wait(5)
    assert state_of(traffic) == OperationState.RUNNING
    jobs()
    await_state(traffic, OperationState.FAILED)  # one attempt was all it had: traffic is not to begin twice
    traffic.refresh_from_db()
    assert traffic.error["code"] == "orphaned"


def test_told_to_end_it_puts_its_work_back_and_the_next_one_takes_it(
    jobs: Callable[..., Any], traffic: Operation, gateway: Stand
) -> None:
    first = jobs()
    wait_until(lambda: len(gateway.requests) > 5, 30, "traffic flows")
    first.send_signal(signal.SIGTERM)
    assert first.wait(10) == 0
    assert state_of(traffic) == OperationState.QUEUED
    gateway.requests.clear()
    jobs()
    wait_until(lambda: len(gateway.requests) > 5, 30, "traffic flows again")
    services.cancel_operation(operation=Operation.objects.get(pk=traffic.pk), actor=SYSTEM)
    await_state(traffic, OperationState.CANCELLED)


def test_it_ends_with_its_lifeline(jobs: Callable[..., Any]) -> None:
    read_end, write_end = open_lifeline()
    process = jobs(lifeline=read_end)
    os.close(read_end)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    os.close(write_end)
    assert process.wait(15) == 0
