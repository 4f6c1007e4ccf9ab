"""Several processes behind one port look like one gateway."""

import collections
import concurrent.futures
import contextlib
import http.client
import os
import signal
import threading
import time
from collections.abc import Callable
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


def test_no_counter_goes_back_when_children_are_killed_under_load(pair: Any) -> None:
    """What anybody was shown stays counted: by the metrics of all, and by the statistics that a client asks for."""
    stop, answered = threading.Event(), collections.Counter()

    def ask_on() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):  # its process was killed
                answered[pair.infer([1, 0, 0, 0])[0]] += 1

    shown = collections.defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask_on) for _ in range(4)]
        try:
            for _ in range(2):
                watch(pair, shown, until=lambda: counted(pair) >= 40 + max(shown["metrics"], default=0))
                before = set(children(pair))
                os.kill(min(before), signal.SIGKILL)
                watch(pair, shown, until=lambda: is_whole(pair))
                assert set(children(pair)) != before
        finally:
            stop.set()
    for one in asking:
        one.result()
    watch(pair, shown, until=lambda: True)
    for name, values in shown.items():
        assert len(values) > 3
        assert values == sorted(values), f"{name} went back"
    assert answered[200] > 0
    assert not {status for status in answered if status not in (200, 503)}


def watch(gateway: Any, shown: dict[str, list[float]], until: Callable[[], bool]) -> None:
    """Look at the counters until something is so, at least once."""
    end_s = time.monotonic() + 20
    while True:
        shown["metrics"].append(counted(gateway))
        with contextlib.suppress(OSError, http.client.HTTPException, KeyError):  # KeyError: nobody could sum up now
            stats = gateway.call("GET", "/v2/models/linear/stats")[1]
            shown["statistics"].append(stats["model_stats"][0]["inference_stats"]["success"]["count"])
        if until():
            return
        assert time.monotonic() < end_s
        time.sleep(0.02)


def counted(gateway: Any) -> float:
    return gateway.metric("nv_inference_request_success", model="linear")


def is_whole(gateway: Any) -> bool:
    """Whether a child that was killed is gone and another in its place."""
    running = [psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in children(gateway)]
    return running == [True, True] and gateway.metric("switchyard_gateway_processes") == 2


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
