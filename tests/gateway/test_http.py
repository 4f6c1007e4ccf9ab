"""What a raw socket may do to the gateway, and what it gets."""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

KEY = b"sy_testtest_all"
HEALTH = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def infer_bytes(first: float, *headers: bytes) -> bytes:
    body = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [first, 0, 0, 0]}]}
    ).encode()
    return head(b"Content-Length: %d" % len(body), *headers) + body


def head(*headers: bytes) -> bytes:
    lines = [b"POST /v2/models/linear/infer HTTP/1.1", b"Host: x", b"Authorization: Bearer " + KEY, *headers, b"", b""]
    return b"\r\n".join(lines)


@contextlib.contextmanager
def open_socket(gateway: Any) -> Iterator[socket.socket]:
    with socket.create_connection((gateway.host, gateway.port), timeout=10) as sock:
        yield sock


def read_answer(file: Any) -> tuple[int, dict[str, str], bytes]:
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name] = value.strip()
    return status, headers, file.read(int(headers.get("content-length", 0)))


def exchange(gateway: Any, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
    with open_socket(gateway) as sock:
        for piece in pieces:
            sock.sendall(piece)
        return read_answer(sock.makefile("rb"))


def test_pipelined_requests_are_answered_in_their_order(shared: Any) -> None:
    firsts = [777.0, 2.0, 3.0, 4.0]  # the first one sleeps in the model
    with open_socket(shared) as sock:
        sock.sendall(b"".join(infer_bytes(first) for first in firsts) + HEALTH)
        file = sock.makefile("rb")
        answers = [read_answer(file) for _ in range(5)]
    assert [status for status, _, _ in answers] == [200] * 5
    assert [json.loads(body)["outputs"][0]["data"][0] for _, _, body in answers[:4]] == firsts
    assert json.loads(answers[4][2]) == {"live": True}


def test_many_pipelined_requests_are_bounded_and_all_answered(shared: Any) -> None:
    with open_socket(shared) as sock:
        sender = threading.Thread(target=sock.sendall, args=(HEALTH * 3_000,))
        sender.start()
        file = sock.makefile("rb")
        assert {read_answer(file)[0] for _ in range(3_000)} == {200}
        sender.join()


def test_what_waited_behind_a_slow_request_is_answered_without_end_of_stack(shared: Any) -> None:
    with open_socket(shared) as sock:
        sender = threading.Thread(target=sock.sendall, args=(infer_bytes(777.0) + HEALTH * 3_000,))
        sender.start()
        file = sock.makefile("rb")
        assert {read_answer(file)[0] for _ in range(3_001)} == {200}
        sender.join()


def test_a_request_may_come_byte_by_byte(shared: Any) -> None:
    raw = infer_bytes(5.0)
    status, _, body = exchange(shared, *(raw[i : i + 1] for i in range(len(raw))))
    assert status == 200
    assert json.loads(body)["outputs"][0]["data"][0] == 5.0


def test_a_chunked_body_is_taken(shared: Any) -> None:
    body = infer_bytes(6.0).partition(b"\r\n\r\n")[2]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n"
    trailer = b"Authorization: Bearer nobody\r\n\r\n"  # a trailer is no header
    status, _, answer = exchange(shared, head(b"Transfer-Encoding: chunked") + chunks + trailer)
    assert status == 200
    assert json.loads(answer)["outputs"][0]["data"][0] == 6.0


def test_expect_100_continue_is_answered_before_the_body(shared: Any) -> None:
    raw_head, _, body = infer_bytes(7.0, b"Expect: 100-continue").partition(b"\r\n\r\n")
    with open_socket(shared) as sock:
        sock.sendall(raw_head + b"\r\n\r\n")
        file = sock.makefile("rb")
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n"
        file.readline()
        sock.sendall(body)
        assert read_answer(file)[0] == 200


@pytest.mark.parametrize("bad", [b"Bearer nobody", b"Basic x"])
def test_a_bad_key_is_refused_before_the_body_is_sent(shared: Any, bad: bytes) -> None:
    raw = b"POST /v2/models/linear/infer HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\nContent-Length: 9999\r\n" % bad
    status, headers, _ = exchange(shared, raw + b"Expect: 100-continue\r\n\r\n")
    assert status == 401
    assert headers["connection"] == "close"
    assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "raw, status, says",
    [
        (head(b"Content-Length: 3", b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n", 400, "present with"),
        (head(b"Transfer-Encoding: chunked", b"Content-Length: 3") + b"3\r\nabc\r\n0\r\n\r\n", 400, "present with"),
        (head(b"Content-Length: 3", b"Content-Length: 4") + b"abc", 400, "Content-Length"),
        (head(b"Content-Length: -1"), 400, "Content-Length"),
        (head(b"Content-Length: 99999999999999999999999"), 400, "Content-Length"),
        (head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501, "transfer coding"),
        (head(b"Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", 400, "Transfer-Encoding"),
        (head(b"Transfer-Encoding: chunked") + b"fffffffffffffffff\r\n", 400, "HTTP/1.1"),
        (head(b"Content-Encoding: br", b"Content-Length: 3") + b"abc", 501, "gzip, deflate and zstd"),
        (head(b"Content-Encoding: gzip", b"Content-Length: 3") + b"abc", 400, "not gzip"),
        (head(b"Content-Length: 99000000") + b"", 413, "larger than"),
        (b"GET /v2 HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET /v2 HTTP/1.1\nHost: x\n\n", 400, "HTTP/1.1"),
        (b"GET /v2 HTTP/1.1\r\nHost : x\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET /v\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400, "URL"),
        (b"NONSENSE\r\n\r\n", 400, "HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP/1.1"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "HTTP/1.1"),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 40_000 + b"\r\n\r\n", 431, "head is larger"),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\n" + b"X-Many: a\r\n" * 4_000 + b"\r\n", 431, "head is larger"),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 100 + b"\r\n", 431, "100 lines"),
        (head(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 501, "transfer coding"),
        (b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400, "no body"),
        (b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "no body"),
        (b"POST /v2/health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n", 400, "no body"),
        (b"GET /v2?" + b"q" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "head is larger"),
    ],
)
def test_what_is_wrong_is_refused_and_the_connection_ends(shared: Any, raw: bytes, status: int, says: str) -> None:
    with open_socket(shared) as sock:
        sock.sendall(raw + HEALTH)  # smuggled behind: must never be answered
        file = sock.makefile("rb")
        got, headers, body = read_answer(file)
        assert got == status
        assert says in json.loads(body)["error"]
        assert headers["connection"] == "close"
        assert file.read() == b""


def test_a_chunked_body_over_the_limit_is_cut_off(shared: Any) -> None:
    with open_socket(shared) as sock:
        sock.sendall(head(b"Transfer-Encoding: chunked"))
        with contextlib.suppress(OSError):  # it may hang up while we still send
            for _ in range(70):
                sock.sendall(b"100000\r\n" + bytes(1_048_576) + b"\r\n")
        assert read_answer(sock.makefile("rb"))[0] == 413


@pytest.mark.parametrize("begin", [b"0\r\nX-Trailer: ", b"0\r\nX-Trailer: a\r\n", b"1;extension="])
def test_what_frames_a_body_is_bounded_as_a_head_is(shared: Any, begin: bytes) -> None:
    with open_socket(shared) as sock:
        sock.sendall(head(b"Transfer-Encoding: chunked") + begin)
        filler = b"X: y\r\n" * 1_000 if begin.endswith(b"\n") else b"a" * 6_000
        with contextlib.suppress(OSError):  # it may hang up while we still send
            for _ in range(200):
                sock.sendall(filler)
        status, _, body = read_answer(sock.makefile("rb"))
        assert status == 431
        assert "frames the body" in json.loads(body)["error"]


def test_a_body_of_many_small_chunks_is_taken(shared: Any) -> None:
    body = infer_bytes(1.0).partition(b"\r\n\r\n")[2]
    spaces = b"1\r\n \r\n" * 50_000
    pieces = (head(b"Transfer-Encoding: chunked"), spaces, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert exchange(shared, *pieces)[0] == 200


def test_an_error_comes_after_the_answers_before_it(shared: Any) -> None:
    with open_socket(shared) as sock:
        sock.sendall(infer_bytes(777.0) + b"NONSENSE\r\n\r\n")
        file = sock.makefile("rb")
        assert read_answer(file)[0] == 200
        assert read_answer(file)[0] == 400


@pytest.mark.parametrize("version, header, stays", [
    (b"1.1", b"", True), (b"1.1", b"Connection: close\r\n", False), (b"1.0", b"", False),
    (b"1.0", b"Connection: keep-alive\r\n", True),
])  # fmt: skip
def test_keep_alive_is_as_http_says(shared: Any, version: bytes, header: bytes, stays: bool) -> None:
    raw = b"GET /v2/health/live HTTP/%b\r\nHost: x\r\n%b\r\n" % (version, header)
    with open_socket(shared) as sock:
        file = sock.makefile("rb")
        sock.sendall(raw)
        status, headers, _ = read_answer(file)
        assert status == 200
        if not stays:
            assert file.read() == b""
            return
        assert headers.get("connection") == ("keep-alive" if version == b"1.0" else None)
        sock.sendall(raw)
        assert read_answer(file)[0] == 200


def test_an_upgrade_is_not_taken_and_the_request_is_answered(shared: Any) -> None:
    asks = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    raw = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n" + asks + b"PRI * HTTP/2.0"
    status, headers, _ = exchange(shared, raw)
    assert status == 200
    assert "upgrade" not in headers


def test_head_has_the_headers_of_get_and_no_body(shared: Any) -> None:
    with open_socket(shared) as sock:
        sock.sendall(b"HEAD /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n" + HEALTH)
        file = sock.makefile("rb")
        assert file.readline().startswith(b"HTTP/1.1 200")
        while file.readline().strip():
            pass
        assert read_answer(file)[2] == b'{"live":true}'


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("hang_up", [socket.socket.close, reset])
def test_a_client_that_hangs_up_costs_nobody_else(shared: Any, hang_up: Any) -> None:
    """Its batch-mates wait behind the same sleeping batch and travel together."""
    cancelled = shared.metric("switchyard_requests_total", model="linear", code="cancelled")
    results: list[int] = []
    others = [
        threading.Thread(target=lambda n=n: results.append(int(shared.infer([777.0, n, 0, 0])[0]))) for n in range(4)
    ]
    with open_socket(shared) as first:
        first.sendall(infer_bytes(777.0))
        leavers = [socket.create_connection((shared.host, shared.port)) for _ in range(4)]
        for leaver in leavers:
            leaver.sendall(infer_bytes(777.0))
        for other in others:
            other.start()
        for leaver in leavers:
            hang_up(leaver)
        for other in others:
            other.join()
        assert read_answer(first.makefile("rb"))[0] == 200
    assert results == [200] * 4
    assert shared.metric("switchyard_requests_total", model="linear", code="cancelled") >= cancelled + 1


def test_no_body_is_counted_when_all_is_answered_refused_or_given_up(shared: Any) -> None:
    big = head(b"Content-Length: 5000000")
    with open_socket(shared) as half, open_socket(shared) as queued:
        half.sendall(big + bytes(3_000_000))
        queued.sendall(infer_bytes(777.0) + infer_bytes(777.0))
        wait_for(lambda: shared.metric("switchyard_buffered_body_bytes") > 3_000_000)
        half.close()
        queued.close()
        wait_for(lambda: shared.metric("switchyard_buffered_body_bytes") == 0)


def wait_for(what: Any) -> None:
    end_s = time.monotonic() + 5
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.02)


@pytest.fixture(scope="module")
def hasty(new_site: Any) -> Iterator[Any]:
    """A gateway with short timeouts and few connections."""
    with new_site() as site:
        yield site.start_gateway(
            SWITCHYARD_HEADER_TIMEOUT_S="0.3", SWITCHYARD_BODY_TIMEOUT_S="0.3", SWITCHYARD_IDLE_TIMEOUT_S="0.5",
            SWITCHYARD_MAX_CONNECTIONS="8",
        )  # fmt: skip


@pytest.mark.parametrize(
    "raw", [b"GET /v2/health/live HT", head(b"Content-Length: 10") + b"abc", b"GET / HTTP/1.1\r\nX: "]
)
def test_a_slow_client_gets_408(hasty: Any, raw: bytes) -> None:
    with open_socket(hasty) as sock:
        sock.sendall(raw)
        status, _, body = read_answer(sock.makefile("rb"))
    assert status == 408
    assert json.loads(body)["code"] == "slow_client"


def test_dripping_bytes_do_not_buy_time(hasty: Any) -> None:
    with open_socket(hasty) as sock, contextlib.suppress(OSError):
        began = time.monotonic()
        for _ in range(50):
            sock.sendall(b"X")
            sock.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                assert sock.recv(1000).startswith((b"HTTP/1.1 408", b"HTTP/1.1 400"))
                break
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("first", [b"", HEALTH])
def test_an_idle_connection_is_closed(hasty: Any, first: bytes) -> None:
    with open_socket(hasty) as sock:
        file = sock.makefile("rb")
        if first:
            sock.sendall(first)
            assert read_answer(file)[0] == 200
        assert file.read() == b""


def test_connections_over_the_limit_are_closed_and_the_others_served(hasty: Any) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(open_socket(hasty)) for _ in range(8)]
        with open_socket(hasty) as extra, contextlib.suppress(ConnectionResetError):
            assert extra.recv(10) == b""
        held[0].sendall(HEALTH)
        assert read_answer(held[0].makefile("rb"))[0] == 200
    assert hasty.metric("switchyard_connections_refused_total") >= 1
