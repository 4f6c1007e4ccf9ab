"""The short way answers what the long way would, and leaves to it whatever is out of the ordinary."""

import asyncio
import contextlib
import http.client
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.waiting import wait_until

from bench.hot_path import KEY as BENCH_KEY
from bench.hot_path import Stand, make_stand
from inference.gateway.express import MOST_LANES, ExpressWork

KEY = "sy_testtest_all"
DIE, SLEEP, RAISE, NAN = "666.0", "777.0", "888.0", "999.0"  # as toy_worker understands them
INPUTS: dict[str, Any] = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
LENGTH = 20  # of the numbers' text
KNOWN_AFTER = 6  # requests, the next of which goes the short way


class Client:
    """A connection that is kept: the same head each time, as long as bodies are equally long."""

    def __init__(self, gateway: Any, path: str = "/v2/models/linear/infer", **headers: str):
        self.connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=20)
        self.path = path
        self.headers = {"Authorization": f"Bearer {KEY}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }

    def send(self, numbers: str) -> None:
        assert len(numbers) == LENGTH, "another length is another head, and goes the long way"
        body = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[%b]}]}' % numbers.encode()
        self.connection.request("POST", self.path, body, self.headers)

    def receive(self) -> tuple[int, bytes, dict[str, str]]:
        answer = self.connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}

    def ask(self, numbers: str) -> tuple[int, bytes, dict[str, str]]:
        self.send(numbers)
        return self.receive()

    def warm_up(self) -> None:
        for _ in range(KNOWN_AFTER):
            assert self.ask("100.0, 1.0, 2.0, 3.0")[0] == 200


def client(gateway: Any, path: str = "/v2/models/linear/infer", **headers: str) -> Client:
    """One whose next request goes the short way."""
    made = Client(gateway, path, **headers)
    made.warm_up()
    return made


# In one process, where it can be looked at


@contextlib.contextmanager
def open_stand(clients: int = 4) -> Iterator[Stand]:
    with tempfile.TemporaryDirectory(prefix="sy-") as folder:
        stand = make_stand(Path(folder), clients)
        for _ in range(KNOWN_AFTER):
            stand.round()
        yield stand


@pytest.mark.asyncio
async def test_a_request_like_those_before_it_goes_the_short_way_and_leaves_nothing_behind() -> None:
    with open_stand() as stand:
        frame = stand.take_frame()
        works = [connection.running for connection in stand.connections]
        assert all(isinstance(work, ExpressWork) for work in works)
        assert stand.gateway.dataplane.running == len(works)
        stand.answer(frame)
        answers = [connection.transport.last for connection in stand.connections]
        assert all(answer.startswith(b"HTTP/1.1 200 ") and b'"data":[0.17' in answer for answer in answers)
        assert stand.gateway.dataplane.running == 0
        assert stand.gateway.http.buffered_bytes == 0
        assert [connection.running for connection in stand.connections] == [None] * len(works)
        await asyncio.sleep(0)


def ask_here(stand: Stand, text: str) -> None:
    """One request with `text` as its id, answered."""
    body = json.dumps({"id": text, **INPUTS}).encode()
    head = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
    stand.connections[0].data_received(head % (BENCH_KEY.encode(), len(body)) + body)
    stand.replica.queue.pump()
    [frame] = stand.wire.frames
    stand.wire.frames.clear()
    stand.answer(frame)


def lanes_here(stand: Stand) -> list[dict[bytes, Any]]:
    heads = stand.gateway.http.known_heads.heads.values()
    return [head.target.express.lanes for head in heads if head.target is not None]


@pytest.mark.asyncio
async def test_texts_with_something_new_in_each_make_no_lanes_and_of_many_texts_the_last_have_one() -> None:
    with open_stand(1) as stand:
        lanes = len([lane for held in lanes_here(stand) for lane in held])
        for number in range(40):
            ask_here(stand, f"{number:04}")
        assert len([lane for held in lanes_here(stand) for lane in held]) == lanes
        for number in range(3 * MOST_LANES):
            for _ in range(2):
                ask_here(stand, f"{number:04}")
        held = max(lanes_here(stand), key=len)
        assert len(held) == MOST_LANES
        assert any(b"%04d" % (3 * MOST_LANES - 1) in text for text in held)
        assert len(stand.connections[0].transport.last) > 0


# In a real gateway


def test_its_answers_are_those_of_the_long_way_number_for_number(shared: Any) -> None:
    kept = client(shared)
    for numbers in ("100.5, 1.0, 2.0, 3.0", "100.0, 1e-9, 2e2, -3", "0.10, -0.0, 1.25, 75"):
        status, body, headers = kept.ask(numbers)
        fresh_status, fresh_body, fresh_headers = Client(shared, Connection="close").ask(numbers)
        assert (status, body) == (fresh_status, fresh_body)
        assert status == 200
        del fresh_headers["connection"]
        assert headers.keys() == fresh_headers.keys()
        assert headers["x-request-id"] != fresh_headers["x-request-id"]
        for name in ("x-model-version", "x-route-reason", "content-type"):
            assert headers.get(name) == fresh_headers.get(name)


@pytest.mark.parametrize(
    "numbers, code",
    [
        ("100.0, 1.0, 2.00000.", "bad_input"),
        ("100.0, 1.0, 2.000000", "bad_input"),
        ('100.0, 1.0, 2.0, "3"', "bad_input"),
        ("10.0, 1.0, 2.0, 1e99", "bad_input"),
        ("100.0, 1.0], 2.0, 3.", "bad_input"),
        (f"{RAISE}, 1.0, 2.0, 3.0", "model_failed"),
        (f"{NAN}, 1.0, 2.0, 3.0", "output_not_finite"),
    ],
)
def test_what_goes_wrong_is_said_as_always_and_the_next_request_is_answered(
    shared: Any, numbers: str, code: str
) -> None:
    kept = client(shared)
    status, body, _ = kept.ask(numbers)
    assert (status, body) == Client(shared, Connection="close").ask(numbers)[:2]
    assert json.loads(body)["code"] == code
    assert status >= 400
    assert kept.ask("100.0, 1.0, 2.0, 3.0")[0] == 200


def test_a_deadline_holds(shared: Any) -> None:
    kept = client(shared, X_Timeout_Ms="60")
    assert kept.ask(f"{SLEEP}, 1.0, 2.0, 3.0")[0] == 504
    wait_until(lambda: shared.metric("switchyard_running_requests") == 0, why="it is over")


def test_a_client_that_hangs_up_is_forgotten(shared: Any) -> None:
    kept = client(shared)
    cancelled = shared.metric("switchyard_requests_total", code="cancelled")
    kept.send(f"{SLEEP}, 1.0, 2.0, 3.0")
    wait_until(lambda: shared.metric("switchyard_running_requests") == 1, why="the request runs")
    kept.connection.close()
    wait_until(lambda: shared.metric("switchyard_running_requests") == 0, why="it is dropped")
    assert shared.metric("switchyard_requests_total", code="cancelled") == cancelled + 1


def test_every_request_is_counted_once_with_its_rows(shared: Any) -> None:
    kept = client(shared, "/v2/models/linear/versions/2/infer")
    labels = {"model": "linear", "version": "2"}
    before = [shared.metric(name, **labels) for name in ("switchyard_requests_total", "switchyard_rows_total")]
    for _ in range(20):
        assert kept.ask("100.0, 1.0, 2.0, 3.0")[2]["x-model-version"] == "2"
    after = [shared.metric(name, **labels) for name in ("switchyard_requests_total", "switchyard_rows_total")]
    assert [late - early for early, late in zip(before, after, strict=True)] == [20, 20]


def test_a_worker_that_dies_with_it_is_replaced_and_a_second_death_is_its_fault(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)), replicas=2)
    gateway = site.start_gateway()
    kept = client(gateway)
    status, body, _ = kept.ask(f"{DIE}, 1.0, 2.0, 3.0")
    assert (status, json.loads(body)["code"]) == (503, "poison_input")


def test_weights_hold_and_a_change_of_them_holds_at_once(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", *(builders["version"](number, signature) for number in (1, 2))))
    site.publish_effective("linear", (1, 75.0), (2, 25.0))
    gateway = site.start_gateway()
    kept = client(gateway)
    seen = Counter(kept.ask("100.0, 1.0, 2.0, 3.0")[2]["x-model-version"] for _ in range(600))
    assert 90 < seen["2"] < 210  # 5.7 standard deviations about 150
    site.publish_effective("linear", (1, 0.0), (2, 100.0))
    wait_until(
        lambda: {kept.ask("100.0, 1.0, 2.0, 3.0")[2]["x-model-version"] for _ in range(30)} == {"2"},
        why="nobody gets the version that has no share any more",
    )


def test_a_version_that_takes_something_else_gets_its_whole_share(site: Any, builders: Any) -> None:
    """Were one version taken by the short way and the other left to a second draw, the first would get more."""
    one, other = (builders["signature"](("x", "FP32", shape, "y")) for shape in ((-1, 4), (-1, 5)))
    site.serve(builders["model"]("linear", builders["version"](1, one), builders["version"](2, other)))
    site.publish_effective("linear", (1, 50.0), (2, 50.0))
    gateway = site.start_gateway()
    kept = Client(gateway)
    statuses = Counter(kept.ask("100.0, 1.0, 2.0, 3.0")[0] for _ in range(400))
    assert set(statuses) == {200, 400}
    assert 140 < statuses[400] < 260


def test_a_full_queue_is_said(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    version = builders["version"](
        1, signature, queue=builders["queue"](max_requests=1), batch=builders["batch"](max_size=1)
    )
    site.serve(builders["model"]("linear", version), TOY_SLOTS="1")
    gateway = site.start_gateway()
    clients = [client(gateway) for _ in range(6)]
    for kept in clients:
        kept.send(f"{SLEEP}, 1.0, 2.0, 3.0")
    statuses = Counter(kept.receive()[0] for kept in clients)
    assert statuses[503] >= 1
    assert statuses[200] + statuses[503] == len(clients)
    assert clients[0].ask("100.0, 1.0, 2.0, 3.0")[0] == 200
