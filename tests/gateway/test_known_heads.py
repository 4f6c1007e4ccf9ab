"""Heads that come again and again are read once, and mean the same as if they were read each time."""

import json
import socket
import time
from typing import Any

import pytest

from inference.gateway.exchange import Head
from inference.gateway.known_heads import MAX_HEAD_BYTES, MAX_HEADS, KnownHeads

BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.5, 2, 3, 4]}]}).encode()


def raw_head(*lines: bytes, length: int = len(BODY), end: bytes = b"\r\n") -> bytes:
    first = (b"POST /v2/models/linear/infer HTTP/1.1", b"Host: x", b"Content-Length: %d" % length)
    return end.join((*first, *lines, b"", b""))


def parsed(**headers: bytes) -> Head:
    head = Head(b"/")
    head.method = b"POST"
    head.headers = {b"host": b"x", b"content-length": b"5"} | {
        name.replace("_", "-").encode(): value for name, value in headers.items()
    }
    return head


def learn(known: KnownHeads, raw: bytes, head: Head, times: int = 2) -> bool:
    for _ in range(times):
        known.learn(raw, head, raw.count(b"\r\n") - 2)
    return known.find(raw) is head


def test_a_head_is_kept_when_it_comes_again() -> None:
    known, head = KnownHeads(), parsed()
    assert not learn(known, raw_head(), head, times=1)
    assert learn(known, raw_head(), head, times=1)
    assert head.body_bytes == 5
    known.forget(raw_head())
    assert known.find(raw_head()) is None


@pytest.mark.parametrize("head", [
    parsed(expect=b"100-continue"), parsed(upgrade=b"h2c"), parsed(content_encoding=b"gzip"),
    parsed(transfer_encoding=b"chunked"),
])  # fmt: skip
def test_a_head_whose_body_takes_more_than_counting_bytes_is_not(head: Head) -> None:
    assert not learn(KnownHeads(), raw_head(), head)


def test_nor_one_that_ends_its_connection_or_frames_no_body_or_has_odd_line_ends() -> None:
    last, old, bare, tunnel = parsed(), parsed(), parsed(), parsed()
    last.keep_alive, old.http_1_0, tunnel.method = False, True, b"CONNECT"
    del bare.headers[b"content-length"]
    assert not any(learn(KnownHeads(), raw_head(), head) for head in (last, old, bare, tunnel))
    assert not learn(KnownHeads(), raw_head(b"X: 1\nY: 2"), parsed())
    assert not learn(KnownHeads(), raw_head(b"X: " + b"1" * MAX_HEAD_BYTES), parsed())


def test_new_heads_push_out_the_oldest_and_heads_that_come_once_nobody() -> None:
    known = KnownHeads()
    assert learn(known, raw_head(), parsed())
    for number in range(3 * MAX_HEADS):
        learn(known, raw_head(b"X-Request-Id: %d" % number), parsed(), times=1)
    assert known.find(raw_head()) is not None
    for number in range(MAX_HEADS):
        learn(known, raw_head(b"Y: %d" % number), parsed())
    assert len(known.heads) == MAX_HEADS
    assert known.find(raw_head()) is None


# In a real gateway


def ask(sock: socket.socket, raw: bytes) -> tuple[int, Any]:
    sock.sendall(raw)
    file = sock.makefile("rb")
    status, length = int(file.readline().split()[1]), 0
    while line := file.readline().strip():
        if line.startswith(b"content-length"):
            length = int(line.split()[1])
    return status, json.loads(file.read(length))


def test_requests_with_one_head_are_answered_each_by_its_own_body(shared: Any) -> None:
    head = raw_head(b"Authorization: Bearer sy_testtest_all")
    with socket.create_connection((shared.host, shared.port), timeout=10) as sock:
        for number in range(12):
            body = BODY.replace(b"1.5", b"%d.5" % (number % 10))
            status, answer = ask(sock, head + body)
            assert (status, answer["outputs"][0]["data"][0]) == (200, number % 10 + 0.5)
        sock.sendall(head)  # a body that comes later, and one in pieces
        assert ask(sock, BODY)[0] == 200
        sock.sendall(head + BODY[:20])
        assert ask(sock, BODY[20:])[0] == 200
        assert ask(sock, head + b"x" * len(BODY))[0] == 400
        assert ask(sock, head + BODY)[0] == 200


def test_what_follows_a_known_head_and_its_body_is_the_next_request(shared: Any) -> None:
    head = raw_head(b"Authorization: Bearer sy_testtest_all")
    with socket.create_connection((shared.host, shared.port), timeout=10) as sock:
        for _ in range(3):
            assert ask(sock, head + BODY)[0] == 200
        sock.sendall(2 * (head + BODY) + b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        file = sock.makefile("rb")
        statuses = []
        for _ in range(3):
            statuses.append(int(file.readline().split()[1]))
            while line := file.readline().strip():
                if line.startswith(b"content-length"):
                    length = int(line.split()[1])
            file.read(length)
        assert statuses == [200, 200, 200]


def test_a_key_that_is_revoked_ends_a_connection_that_uses_it_all_the_time(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)))
    gateway = site.start_gateway()
    head = raw_head(b"Authorization: Bearer sy_testtest_all")
    with socket.create_connection((gateway.host, gateway.port), timeout=10) as sock:
        for _ in range(5):
            assert ask(sock, head + BODY)[0] == 200
        site.publish("keys", "all", builders["keys"](generation=2, without="sy_testtest_all"))
        end_s = time.monotonic() + 10
        status = 200
        while status == 200 and time.monotonic() < end_s:
            status, answer = ask(sock, head + BODY)
        assert (status, answer["code"]) == (401, "key_invalid")
