"""Priority and deadlines decide who is served first, and who makes room when a queue is full."""

import concurrent.futures
import time
from typing import Any

import pytest

from inference.policy.batching import DEFAULT_LEVEL, PRIORITY_LEVELS, level_of

SLEEP = 777.0  # in the toy: a quarter of a second


@pytest.fixture
def single(site: Any, builders: Any) -> Any:
    """One replica that runs one row at a time, and has room for six to wait."""
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    unit = {"batch": builders["batch"](max_size=1), "queue": builders["queue"](max_requests=6)}
    site.serve(builders["model"]("linear", builders["version"](1, signature, **unit)), TOY_SLOTS="1")
    return site.start_gateway()


class Line:
    """Requests sent one after another into a busy model; tells in which order they were answered."""

    def __init__(self, gateway: Any):
        self.gateway = gateway
        self.pool = concurrent.futures.ThreadPoolExecutor(16)
        self.done: list[str] = []
        self.results: dict[str, tuple[int, Any]] = {}
        self.sent: list[concurrent.futures.Future[None]] = []

    def send(self, name: str, sleep: bool = True, **headers: str) -> None:
        waiting = self.gateway.metric("switchyard_waiting_requests", model="linear")
        self.sent.append(self.pool.submit(self.ask, name, sleep, headers))
        end_s = time.monotonic() + 5
        while name not in self.results and time.monotonic() < end_s:
            running = self.gateway.metric("switchyard_running_requests")
            if running >= len(self.sent) - len(self.done):
                break
        assert waiting >= 0

    def ask(self, name: str, sleep: bool, headers: dict[str, str]) -> None:
        status, body, _ = self.gateway.infer([SLEEP if sleep else 1.0, 0, 0, 0], **headers)
        self.results[name] = (status, body)
        if status == 200:
            self.done.append(name)

    def finish(self) -> list[str]:
        for future in self.sent:
            future.result(20)
        self.pool.shutdown()
        return self.done


def test_the_urgent_go_first_and_the_patient_last(single: Any) -> None:
    line = Line(single)
    line.send("first")  # in the model
    line.send("late", X_Priority="5")
    line.send("usual")
    line.send("urgent", X_Priority="1")
    assert line.finish() == ["first", "urgent", "usual", "late"]


def test_within_a_priority_the_earliest_deadline_goes_first(single: Any) -> None:
    line = Line(single)
    line.send("first")
    line.send("patient")
    line.send("hurried", X_Timeout_Ms="5000")
    assert line.finish() == ["first", "hurried", "patient"]


def test_the_parameter_says_the_same_as_the_header(single: Any) -> None:
    x = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    for priority in (0, 1, 99):
        body = {"inputs": [x], "parameters": {"priority": priority}}
        assert single.call("POST", "/v2/models/linear/infer", body)[0] == 200
    for wrong in (-1, "high", 1.5):
        body = {"inputs": [x], "parameters": {"priority": wrong}}
        assert single.call("POST", "/v2/models/linear/infer", body)[0] == 400
    assert single.infer([1, 2, 3, 4], X_Priority="soon")[0] == 400


def test_a_full_queue_makes_room_for_the_more_urgent_alone(single: Any) -> None:
    line = Line(single)
    line.send("first")
    for number in range(6):
        line.send(f"late{number}", sleep=False, X_Priority="5")
    assert single.metric("switchyard_waiting_requests", model="linear") == 6
    assert single.infer([1, 2, 3, 4], X_Priority="5")[1]["code"] == "queue_full"
    line.send("urgent", X_Priority="1")
    done = line.finish()
    assert done[:2] == ["first", "urgent"]
    refused = [name for name, (status, body) in line.results.items() if status == 503 and body["code"] == "queue_full"]
    assert refused == ["late5"]


@pytest.mark.parametrize("priority, level", [(0, DEFAULT_LEVEL), (1, 1), (4, 4), (5, 5), (10**9, PRIORITY_LEVELS)])
def test_levels(priority: int, level: int) -> None:
    assert level_of(priority) == level
