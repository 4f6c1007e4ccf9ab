"""`manage.py serve` as a process: what it answers, and how it ends."""

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.machine import free_ports
from support.waiting import wait_until

from inference.lifeline import VARIABLE, open_lifeline

ROOT = Path(__file__).resolve().parents[3]


def fetch(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def answers(url):
    try:
        return fetch(url)[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory, valkey_server):
    """One console for the module, with a lifeline whose other end is ours."""
    data = tmp_path_factory.mktemp("data")
    read_end, write_end = open_lifeline()
    environment = os.environ | {"SWITCHYARD_DATA": str(data), "REDIS_URL": valkey_server, VARIABLE: str(read_end)}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True, timeout=60
    )
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", str(port)],
        cwd=ROOT, env=environment, pass_fds=[read_end], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(read_end)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{url}/healthz"), 30, "the console answers")
        yield url, process, write_end
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(5)


def test_it_is_ready_with_its_database_and_redis(served):
    url, _, _ = served
    status, _, body = fetch(f"{url}/readyz")
    assert (status, {name: check["ok"] for name, check in json.loads(body)["checks"].items()}) == (
        200,
        {"database": True, "redis": True, "outbox": True},
    )


def test_pages_carry_the_strict_policy(served):
    url, _, _ = served
    _, headers, _ = fetch(f"{url}/accounts/login/")
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_static_files_are_hashed_compressed_and_cached_for_ever(served):
    url, _, _ = served
    _, _, page = fetch(f"{url}/accounts/login/")
    sheet = re.search(rb'href="(/static/css/look\.[0-9a-f]{12}\.css)"', page).group(1).decode()
    status, headers, body = fetch(url + sheet, **{"Accept-Encoding": "gzip"})
    assert (status, headers["Content-Encoding"], gzip.decompress(body)[:1] != b"") == (200, "gzip", True)
    assert "immutable" in headers["Cache-Control"]
    assert fetch(url + sheet, **{"Accept-Encoding": "br"})[1]["Content-Encoding"] == "br"


def test_an_error_page_under_api_is_a_problem_and_elsewhere_a_page(served):
    url, _, _ = served
    assert json.loads(fetch(f"{url}/api/v1/nothing/")[2])["code"] == "not_found"
    status, headers, _ = fetch(f"{url}/nothing/")
    assert (status, headers.get_content_type()) == (404, "text/html")


def test_a_body_too_large_is_refused_before_anyone_reads_it(served):
    url, _, _ = served
    port = int(url.rsplit(":", 1)[1])
    head = b"POST /api/v1/api-keys/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    declared = talk(port, head + b"Content-Length: 99999999999\r\n\r\n")
    assert declared.startswith(b"HTTP/1.1 413")
    assert b'"code": "too_large"' in declared
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    rest = b"10001\r\n" + b"x" * 0x10001 + b"\r\n"  # one byte over 8 MiB and 64 KiB
    undeclared = talk(port, head + b"Transfer-Encoding: chunked\r\n\r\n" + piece * 8 + rest)
    assert undeclared.startswith(b"HTTP/1.1 413")


def talk(port, sent):
    """Send bytes as they are and read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_head_without_end_is_cut_off(served):
    url, _, _ = served
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Endless: " + b"a" * 70_000)
        assert client.recv(200).startswith(b"HTTP/1.1 400 ")


def test_it_ends_when_the_program_that_started_it_is_gone(served):
    _, process, write_end = served
    began = time.monotonic()
    os.close(write_end)
    assert process.wait(6) in (0, -signal.SIGTERM)
    assert time.monotonic() - began < 6
