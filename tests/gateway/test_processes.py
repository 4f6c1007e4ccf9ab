"""Several processes behind one port look like one gateway."""

import concurrent.futures
import os
import signal
import time
from typing import Any

import psutil
import pytest

from inference import lifeline


def children(gateway: Any) -> list[int]:
    return [child.pid for child in psutil.Process(gateway.process.pid).children()]


@pytest.fixture
def pair(site: Any, builders: Any) -> Any:
    """A gateway of two processes."""
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)))
    gateway = site.start_gateway("--processes", "2")
    gateway.wait_for("gateway_child_listens", count=2)
    return gateway


def ask(gateway: Any, times: int) -> list[int]:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return [future.result()[0] for future in [pool.submit(gateway.infer, [1, 0, 0, 0]) for _ in range(times)]]


def until_counted(gateway: Any, wanted: float) -> None:
    end_s = time.monotonic() + 5
    while gateway.metric("nv_inference_request_success", model="linear") != wanted:
        assert time.monotonic() < end_s, gateway.metric("nv_inference_request_success", model="linear")
        time.sleep(0.05)


def test_they_share_the_port_and_report_as_one(pair: Any) -> None:
    assert len(children(pair)) == 2
    assert ask(pair, 40) == [200] * 40
    until_counted(pair, 40)
    assert pair.metric("switchyard_gateway_processes") == 2
    assert pair.call("GET", "/readyz", admin=True)[:2] == (200, {"ready": True, "processes": 2})


def test_counters_survive_a_killed_child_and_it_is_started_again(pair: Any) -> None:
    assert ask(pair, 20) == [200] * 20
    until_counted(pair, 20)
    victim = children(pair)[0]
    os.kill(victim, signal.SIGKILL)
    end_s = time.monotonic() + 10
    while pair.metric("switchyard_gateway_processes") < 2 or victim in children(pair):
        assert pair.metric("nv_inference_request_success", model="linear") == 20
        assert time.monotonic() < end_s
        time.sleep(0.05)
    assert ask(pair, 10) == [200] * 10
    until_counted(pair, 30)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_drains_as_one(pair: Any, sign: signal.Signals) -> None:
    pids = children(pair)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(pair.infer, [777.0, 0, 0, 0]) for _ in range(4)]
        time.sleep(0.1)  # while they sleep in the model
        pair.process.send_signal(sign)
        assert [future.result()[0] for future in futures] == [200] * 4
    assert pair.process.wait(15) == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_children_do_not_outlive_their_parent(pair: Any) -> None:
    pids = children(pair)
    pair.process.kill()
    end_s = time.monotonic() + 10
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_a_gateway_ends_with_its_lifeline(site: Any) -> None:
    read_end, write_end = lifeline.open_lifeline()
    gateway = site.start_gateway(pass_fds=(read_end,), SWITCHYARD_LIFELINE_FD=str(read_end))
    os.close(read_end)
    assert gateway.process.poll() is None
    os.close(write_end)
    assert gateway.process.wait(10) == 0


def test_a_taken_port_is_said_and_ends_the_start(site: Any, shared: Any) -> None:
    for flags in ([], ["--processes", "2"]):
        with pytest.raises(AssertionError, match="gateway_cannot_listen"):
            site.start_gateway(*flags, "--port", str(shared.port))
