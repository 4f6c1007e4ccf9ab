"""Large bodies go past the parser, and nobody can tell: same answers, same limits, same ends."""

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

WIDTH = 50_000  # 200 kB a row
TIMES = 5  # a head is known from its third time on


@pytest.fixture(scope="module")
def wide(new_site: Any, builders: dict[str, Callable[..., Any]]) -> Iterator[Any]:
    signature = builders["signature"](("x", "FP32", (-1, WIDTH), "y"))
    with new_site() as site:
        site.serve(builders["model"]("wide", builders["version"](1, signature)))
        yield site.start_gateway(SWITCHYARD_BODY_TIMEOUT_S="1")


def row(number: int) -> bytes:
    return np.full(WIDTH, number, np.float32).tobytes()


def message(number: int, *headers: bytes) -> tuple[bytes, bytes]:
    """Head and body of a request in the binary extension."""
    tensor = {"name": "x", "shape": [1, WIDTH], "datatype": "FP32", "parameters": {"binary_data_size": 4 * WIDTH}}
    told = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    body = told + row(number)
    lines = [
        b"POST /v2/models/wide/infer HTTP/1.1", b"Host: x", b"Authorization: Bearer sy_testtest_all", *headers,
        b"Inference-Header-Content-Length: %d" % len(told), b"Content-Length: %d" % len(body), b"", b"",
    ]  # fmt: skip
    return b"\r\n".join(lines), body


def read(file: Any) -> tuple[int, dict[str, str], bytes]:
    status, headers = int(file.readline().split()[1]), {}
    while line := file.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name] = value.strip()
    return status, headers, file.read(int(headers["content-length"]))


def connect(gateway: Any) -> socket.socket:
    return socket.create_connection((gateway.host, gateway.port), timeout=10)


def make_known(gateway: Any, *headers: bytes) -> None:
    with connect(gateway) as sock:
        file = sock.makefile("rb")
        for number in range(3):
            sock.sendall(b"".join(message(number, *headers)))
            assert read(file)[0] == 200


@pytest.mark.parametrize("pieces", [[], [100], [60_000, 60_001], [1, 130_000, 199_000]])
def test_the_bytes_that_come_back_are_those_that_were_sent(wide: Any, pieces: list[int]) -> None:
    with connect(wide) as sock:
        file = sock.makefile("rb")
        for number in range(TIMES):
            head, body = message(number)
            sock.sendall(head)
            for start, end in zip([0, *pieces], [*pieces, len(body)], strict=True):
                sock.sendall(body[start:end])
            status, headers, answer = read(file)
            assert status == 200
            assert answer[int(headers["inference-header-content-length"]) :] == row(number)


def test_what_is_pipelined_behind_a_large_body_is_answered_in_turn(wide: Any) -> None:
    make_known(wide)
    with connect(wide) as sock:
        file = sock.makefile("rb")
        for number in range(TIMES):
            head, body = message(number)
            sock.sendall(head + body[:1000])
            sock.sendall(body[1000:] + b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n" + head + body)
            answers = [read(file) for _ in range(3)]
            assert [status for status, _, _ in answers] == [200] * 3
            assert answers[1][2] == b'{"live":true}'
            assert answers[0][2][-4 * WIDTH :] == answers[2][2][-4 * WIDTH :] == row(number)


def test_a_large_answer_is_compressed_where_that_is_asked_for(wide: Any) -> None:
    with connect(wide) as sock:
        file = sock.makefile("rb")
        for number in range(TIMES):
            sock.sendall(b"".join(message(number, b"Accept-Encoding: gzip")))
            status, headers, answer = read(file)
            assert (status, headers["content-encoding"]) == (200, "gzip")
            assert gzip.decompress(answer)[-4 * WIDTH :] == row(number)


def test_only_bytes_that_came_are_counted_and_none_once_the_client_is_gone(wide: Any) -> None:
    make_known(wide)
    with connect(wide) as sock:
        head, body = message(1)
        sock.sendall(head + body[:70_000])
        wait_for(lambda: wide.metric("switchyard_buffered_body_bytes") == 70_000)
    wait_for(lambda: wide.metric("switchyard_buffered_body_bytes") == 0)


def test_a_body_that_stalls_gets_408_and_what_comes_late_is_dropped(wide: Any) -> None:
    make_known(wide)
    with connect(wide) as sock:
        head, body = message(1)
        sock.sendall(head + body[:100_000])
        status, _, answer = read(sock.makefile("rb"))
        assert (status, json.loads(answer)["code"]) == (408, "slow_client")
        sock.sendall(body[100_000:])
        assert sock.recv(1) == b""
    assert wide.metric("switchyard_buffered_body_bytes") == 0


def wait_for(what: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 5
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.02)
