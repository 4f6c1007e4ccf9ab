"""Workers die, stop and come back; clients notice as little as can be."""

import concurrent.futures
import threading
import time
from typing import Any

import pytest
from support.waiting import wait_until

DIE, SLEEP = 666.0, 777.0


def test_an_innocent_batch_survives_its_worker(site: Any, builders: Any) -> None:
    """Four requests are in a worker that is killed: each is retried alone on the other one, none is lost."""
    make_version, signature = builders["version"], builders["signature"](("x", "FP32", (-1, 4), "y"))
    model = builders["model"]("linear", make_version(1, signature))
    site.serve(model, replicas=2)
    gateway = site.start_gateway()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(gateway.infer, [SLEEP, float(n), 0, 0]) for n in range(8)]
        deadline_s = time.monotonic() + 5
        while gateway.metric("switchyard_running_requests") < 8:  # they sleep in the models, or wait behind those
            assert time.monotonic() < deadline_s
        site.kill_worker("linear-1-main-0")
        answers = [future.result() for future in futures]
    assert [status for status, _, _ in answers] == [200] * 8
    assert [body["outputs"][0]["data"][1] for _, body, _ in answers] == [float(n) for n in range(8)]


def test_an_input_that_kills_twice_is_refused_and_quarantined(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)), replicas=3)
    gateway = site.start_gateway()
    status, body, headers = gateway.infer([DIE, 1, 0, 0])
    assert (status, body["code"]) == (503, "poison_input")
    assert 500 < int(headers["retry-after"]) <= 600
    gateway.wait_for("replica_lost", count=2)
    assert gateway.infer([DIE, 1, 0, 0])[1]["code"] == "poison_input"  # refused without a third death
    assert gateway.infer([2, 1, 0, 0])[0] == 200
    wait_until(lambda: sum(worker.poll() is None for worker in site.workers.values()) == 1)


def test_the_innocent_are_told_from_the_guilty_while_both_are_retried(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)), replicas=4)
    gateway = site.start_gateway()
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        sleepers = [pool.submit(gateway.infer, [SLEEP, 0, 0, 0]) for _ in range(4)]
        deadline_s = time.monotonic() + 5
        while gateway.metric("switchyard_running_requests") < 4:
            assert time.monotonic() < deadline_s
        mixed = [pool.submit(gateway.infer, [first, 9, 0, 0]) for first in (1.0, DIE, 2.0, 3.0, 4.0)]
        answers = [future.result() for future in (*sleepers, *mixed)]
    assert [status for status, _, _ in answers] == [200] * 4 + [200, 503, 200, 200, 200]


def test_requests_wait_for_a_lone_worker_to_come_back(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)))
    gateway = site.start_gateway()
    assert gateway.infer([1, 0, 0, 0])[0] == 200
    site.kill_worker("linear-1-main-0")
    gateway.wait_for("replica_lost")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(gateway.infer, [float(n), 0, 0, 0]) for n in range(4)]
        site.restart_worker("linear-1-main-0")
        assert [future.result()[0] for future in futures] == [200] * 4


def test_a_replica_that_leaves_the_document_finishes_what_it_holds(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)), replicas=2)
    gateway = site.start_gateway()
    stop = threading.Event()

    def keep_asking(n: int) -> list[int]:
        statuses = []
        while not stop.is_set():
            statuses.append(gateway.infer([SLEEP if n == 0 else 1.0, 0, 0, 0])[0])
        return statuses

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(keep_asking, n) for n in range(3)]
        del site.replicas["linear-1-main-0"]
        site.publish_endpoints()
        deadline_s = time.monotonic() + 5
        while gateway.metric("switchyard_linked_replicas", model="linear") != 1:
            assert time.monotonic() < deadline_s
        stop.set()
        statuses = [status for future in futures for status in future.result()]
    assert set(statuses) == {200}


def test_a_stuck_worker_fills_the_queue_and_no_more(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    version = builders["version"](
        1, signature, batch=builders["batch"](max_size=1), queue=builders["queue"](max_requests=3)
    )
    site.serve(builders["model"]("linear", version), TOY_SLOTS="1")
    gateway = site.start_gateway()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [future.result() for future in [pool.submit(gateway.infer, [SLEEP, 0, 0, 0]) for _ in range(8)]]
    statuses = sorted(status for status, _, _ in answers)
    assert statuses == [200] * 4 + [503] * 4
    full = [(body, headers) for status, body, headers in answers if status == 503]
    assert {body["code"] for body, _ in full} == {"queue_full"}
    assert all(int(headers["retry-after"]) >= 1 for _, headers in full)


def test_idle_replicas_share_a_burst(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)), replicas=2)
    gateway = site.start_gateway()
    began_s = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert [f.result()[0] for f in [pool.submit(gateway.infer, [SLEEP, 0, 0, 0]) for _ in range(2)]] == [200, 200]
    assert time.monotonic() - began_s < 0.45  # both slept 0.25 s, side by side


def test_a_drain_answers_what_is_in_hand_and_refuses_new_connections(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)))
    gateway = site.start_gateway()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(gateway.infer, [SLEEP, 0, 0, 0]) for _ in range(6)]
        deadline_s = time.monotonic() + 5
        while gateway.metric("switchyard_running_requests") < 6:
            assert time.monotonic() < deadline_s
        gateway.process.terminate()
        answers = [future.result() for future in futures]
    assert [status for status, _, _ in answers] == [200] * 6
    assert {headers.get("connection") for _, _, headers in answers} == {"close"}
    assert gateway.process.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        gateway.call("GET", "/v2/health/live")


def test_max_wait_gathers_a_batch(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    version = builders["version"](1, signature, batch=builders["batch"](max_size=4, max_wait_s=0.5))
    site.serve(builders["model"]("linear", version))
    gateway = site.start_gateway()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert {f.result()[0] for f in [pool.submit(gateway.infer, [1, 0, 0, 0]) for _ in range(4)]} == {200}
    assert gateway.metric("nv_inference_exec_count", model="linear") == 1
    assert gateway.metric("nv_inference_count", model="linear") == 4
    assert gateway.infer([1, 0, 0, 0])[0] == 200  # alone it waits its half second, no longer


def test_two_gateways_share_one_slot_and_neither_starves(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    version = builders["version"](1, signature, batch=builders["batch"](max_size=2))
    site.serve(builders["model"]("linear", version), TOY_SLOTS="1")
    gateways = [site.start_gateway(), site.start_gateway()]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(gateways[n % 2].infer, [1, 0, 0, 0], X_Timeout_Ms="5000") for n in range(400)]
        answers = [future.result()[0] for future in futures]
    assert answers == [200] * 400
