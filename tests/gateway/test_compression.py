"""Compressed bodies both ways, through a real gateway: the same answers, and no bomb goes off."""

import gzip
import http.client
import json
import shutil
import socket
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zstandard

from inference.errors import TooLarge
from inference.gateway.compression import ANY_RATIO_BYTES, IN_PLACE_BYTES, MIN_BYTES, choose_coding, open_inflater

CODINGS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (gzip.compress, gzip.decompress),
    "deflate": (zlib.compress, zlib.decompress),
    "zstd": (zstandard.compress, zstandard.decompress),
}
LIMIT = 64 * 1024 * 1024
MANY = [float(n % 7) for n in range(4 * 400)]


def body_of(values: list[float]) -> bytes:
    item = {"name": "x", "datatype": "FP32", "shape": [len(values) // 4, 4], "data": values}
    return json.dumps({"inputs": [item]}).encode()


def send(shared: Any, body: bytes, coding: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
    return shared.call("POST", "/v2/models/linear/infer", body, Content_Encoding=coding, **headers)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_request_is_the_same_request(shared: Any, coding: str) -> None:
    status, answer, headers = send(shared, CODINGS[coding][0](body_of([1, 2, 3, 4])), coding.upper())
    assert (status, answer["outputs"][0]["data"]) == (200, [1, 2, 3, 4])
    assert "content-encoding" not in headers


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("rows", [400, 2000])
def test_a_large_answer_is_compressed_for_who_asks(shared: Any, coding: str, rows: int) -> None:
    values = [0.12345679, 0.2345679, 0.3456789, 0.7] * rows  # a float32 comes back as the shortest number that means it
    connection = http.client.HTTPConnection(shared.host, shared.port, timeout=20)
    headers = {"Authorization": "Bearer sy_testtest_all", "Accept-Encoding": coding}
    connection.request("POST", "/v2/models/linear/infer", body_of(values), headers)
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    assert (answer.status, answer.headers["content-encoding"], answer.headers["vary"]) == (
        200, coding, "accept-encoding",
    )  # fmt: skip
    body = CODINGS[coding][1](raw)
    assert json.loads(body)["outputs"][0]["data"] == values
    assert (len(body) > IN_PLACE_BYTES) is (rows == 2000), "one in place, one in a thread"


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0, *;q=0"])
def test_nothing_is_compressed_for_who_does_not(shared: Any, accepted: str) -> None:
    status, _, headers = shared.call("POST", "/v2/models/linear/infer", body_of(MANY), Accept_Encoding=accepted)
    assert status == 200
    assert int(headers["content-length"]) > MIN_BYTES
    assert "content-encoding" not in headers


def test_a_small_answer_is_left_alone(shared: Any) -> None:
    headers = shared.infer([1, 2, 3, 4], Accept_Encoding="gzip, zstd")[2]
    assert "content-encoding" not in headers
    assert "vary" not in headers


@pytest.mark.parametrize("accepted, chosen", [
    (b"gzip", b"gzip"), (b"gzip, deflate, br, zstd", b"zstd"), (b"gzip;q=1.0, zstd;q=0.5", b"gzip"), (b"*", b"zstd"),
    (b"deflate;q=0.1", b"deflate"), (b"identity", b""), (b"zstd;q=0", b""), (b"gzip;q=high", b""), (b",;,=", b""),
    (b"*;q=0.5, zstd;q=0", b"gzip"), (b"GZIP ; Q=0.3", b"gzip"),
])  # fmt: skip
def test_the_best_coding_of_an_accept_header(accepted: bytes, chosen: bytes) -> None:
    assert choose_coding(accepted) == chosen


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_refused_and_never_unpacked(site: Any, coding: str) -> None:
    gateway = site.start_gateway()
    bomb = CODINGS[coding][0](bytes(5 * LIMIT))
    before = memory(gateway)
    status, answer, headers = send(gateway, bomb, coding)
    assert (status, answer["code"], headers["connection"]) == (413, "too_large", "close")
    assert memory(gateway) - before < 3 * LIMIT
    assert gateway.call("GET", "/v2/models")[0] == 200


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_refused_long_before_the_largest_body(coding: str) -> None:
    inflater, bomb = open_inflater(coding.encode()), CODINGS[coding][0](bytes(LIMIT))
    with pytest.raises(TooLarge, match="100 times"):
        inflater.feed(bomb, LIMIT)
    assert inflater.ratio.given_bytes < LIMIT / 4


@pytest.mark.parametrize("coding", CODINGS)
def test_what_packs_well_is_taken_while_it_is_small_or_no_bomb(coding: str) -> None:
    digits = "".join(str(number * number) for number in range(2_000_000)).encode()[: ANY_RATIO_BYTES * 2]
    for body in (bytes(ANY_RATIO_BYTES), digits):
        packed = CODINGS[coding][0](body)
        inflater = open_inflater(coding.encode())
        assert b"".join(inflater.feed(packed[n : n + 70_000], LIMIT) for n in range(0, len(packed), 70_000)) == body
        assert inflater.done


def memory(gateway: Any) -> int:
    return int(psutil.Process(gateway.process.pid).memory_info().rss)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("spoil", ["cut", "more", "other", "twice"])
def test_a_damaged_stream_is_refused(shared: Any, coding: str, spoil: str) -> None:
    whole = CODINGS[coding][0](body_of([1, 2, 3, 4]))
    spoilt = {"cut": whole[:-3], "more": whole + b"x", "other": body_of([1, 2, 3, 4]), "twice": whole + whole}[spoil]
    status, answer, _ = send(shared, spoilt, coding)
    assert (status, answer["code"]) == (400, "bad_input")


def test_an_unknown_coding_is_not_offered(shared: Any) -> None:
    for coding in ("br", "gzip, gzip", "compress"):
        status, answer, _ = send(shared, b"{}", coding)
        assert (status, answer["code"]) == (501, "unsupported")
        assert "gzip, deflate and zstd" in answer["error"]


def test_a_get_may_name_a_coding_of_no_body(shared: Any) -> None:
    assert shared.call("GET", "/v2/models", Content_Encoding="gzip")[0] == 200


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_body_in_small_chunks(shared: Any, coding: str) -> None:
    body = CODINGS[coding][0](body_of(MANY))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[n : n + 7] for n in range(0, len(body), 7)))
    head = (
        b"POST /v2/models/linear/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sy_testtest_all\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\nContent-Encoding: %b\r\n\r\n" % coding.encode()
    )
    with socket.create_connection((shared.host, shared.port), timeout=10) as sock:
        sock.sendall(head + chunks + b"0\r\n\r\n")
        answer = b""
        while part := sock.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_tritonclient_compresses_both_ways(shared: Any, coding: str) -> None:
    from tritonclient.http import InferenceServerClient, InferInput

    rows = np.arange(4 * 500, dtype=np.float32).reshape(500, 4) / 8192
    client = InferenceServerClient(f"{shared.host}:{shared.port}")
    given = InferInput("x", rows.shape, "FP32")
    given.set_data_from_numpy(rows)
    result = client.infer(
        "linear", [given], headers={"Authorization": "Bearer sy_testtest_all"},
        request_compression_algorithm=coding, response_compression_algorithm=coding,
    )  # fmt: skip
    assert np.array_equal(result.as_numpy("y"), rows)
    client.close()


def test_curl_sends_and_takes_gzip(shared: Any, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    packed = tmp_path / "body.json.gz"
    packed.write_bytes(gzip.compress(body_of(MANY)))
    done = subprocess.run(
        ["curl", "-sS", "--compressed", "-D", str(tmp_path / "head"), f"{shared.url}/v2/models/linear/infer",
         "-H", "Authorization: Bearer sy_testtest_all", "-H", "Content-Encoding: gzip", "--data-binary", f"@{packed}"],
        capture_output=True, timeout=20, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["outputs"][0]["data"] == MANY
    assert b"content-encoding: " in (tmp_path / "head").read_bytes()
