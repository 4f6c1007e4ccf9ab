"""Between machines: both sides show a certificate of the deployment's CA, or nothing is said."""

import asyncio
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uvloop
from support.peer import Peer, floats
from support.waiting import wait_until

from inference.transport.certs import main as make_certs
from inference.transport.certs import make_ca, make_node
from inference.transport.client import Link, dial
from inference.transport.frames import ClientHello, Data, Item, Kind, Result, Role, WorkerHello, head_of, pack
from inference.transport.tls import BadCertificates, client_context, server_context

LOOPBACK = "tls:127.0.0.1:0"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    assert make_certs(["--out", str(folder), "--node", "127.0.0.1", "--node", "gpu-1.example"]) == 0
    return folder


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_node(make_ca(tmp_path_factory.mktemp("other")), "127.0.0.1")


def test_a_node_of_the_deployment_is_served(echo, deployment: Path) -> None:
    worker = echo(address=LOOPBACK, context=server_context(deployment / "127.0.0.1"))
    with worker.connect(tls=client_context(deployment / "gpu-1.example")) as gateway:
        assert gateway.sock.version() == "TLSv1.3"
        large = floats(*[[float(n)] * 4 for n in range(100_000)])
        small, big = gateway.ask(floats([1, 2, 3, 4]), large)
        assert small["x"].tolist() == [[1, 2, 3, 4]]
        assert big["x"].shape == (100_000, 4)
        assert big["x"][-1, 0] == 99_999


class Owner:
    """A gateway's side of one link: sends one batch when it may and keeps what comes."""

    def __init__(self) -> None:
        self.answer: asyncio.Future = asyncio.get_running_loop().create_future()

    def link_ready(self, link: Link, hello: WorkerHello) -> None: ...

    def link_granted(self, link: Link, credits: int) -> None:
        [tensor] = floats([1, 2, 3, 4])
        link.send(pack(Kind.DATA, Data(1, [Item(1, 0, [head_of(tensor)])]), [tensor.data]))

    def link_answered(self, link: Link, result: Result, body: memoryview) -> None:
        self.answer.set_result(bytes(body))

    def link_draining(self, link: Link, reason: str) -> None: ...

    def link_lost(self, link: Link, why: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(why))


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_gateways_own_link_speaks_it(echo, deployment: Path, new_loop: Callable) -> None:
    worker = echo(address=LOOPBACK, context=server_context(deployment / "127.0.0.1"))

    async def ask() -> bytes:
        owner, hello = Owner(), ClientHello(Role.GATEWAY, "g", "d" * 64)
        link = await dial(worker.address, hello, owner, client_context(deployment / "gpu-1.example"))
        try:
            return await asyncio.wait_for(owner.answer, 10)
        finally:
            link.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert np.frombuffer(runner.run(ask()), np.float32).tolist() == [1, 2, 3, 4]


def client_without_certificate(deployment: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(deployment / "ca.pem")
    return context


def client_of_another_ca(deployment: Path, stranger: Path) -> ssl.SSLContext:
    context = client_context(stranger)
    context.load_verify_locations(deployment / "ca.pem")  # it would trust our worker; our worker does not trust it
    return context


def client_with_old_tls(deployment: Path) -> ssl.SSLContext:
    context = client_context(deployment / "gpu-1.example")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.mark.parametrize("who", ["no-certificate", "another-ca", "old-tls", "plain-text"])
def test_anyone_else_is_hung_up_on_and_nodes_are_served(echo, deployment: Path, stranger: Path, who: str) -> None:
    worker = echo(address=LOOPBACK, context=server_context(deployment / "127.0.0.1"))
    context = {
        "no-certificate": lambda: client_without_certificate(deployment),
        "another-ca": lambda: client_of_another_ca(deployment, stranger),
        "old-tls": lambda: client_with_old_tls(deployment),
        "plain-text": lambda: None,
    }[who]()
    with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
        Peer(worker.address, context).hello("d" * 64)
    with worker.connect(tls=client_context(deployment / "gpu-1.example")) as gateway:
        assert gateway.ask(floats([1, 2, 3, 4]))[0]["x"].tolist() == [[1, 2, 3, 4]]


def test_a_gateway_refuses_a_worker_of_another_ca(echo, deployment: Path, stranger: Path) -> None:
    worker = echo(address=LOOPBACK, context=server_context(stranger))
    with pytest.raises(ssl.SSLCertVerificationError):
        Peer(worker.address, client_context(deployment / "gpu-1.example"))


def test_one_that_connects_and_never_shakes_hands_is_hung_up_on(echo, deployment: Path) -> None:
    worker = echo(address=LOOPBACK, context=server_context(deployment / "127.0.0.1"))
    with Peer(worker.address) as silent:
        assert silent.is_hung_up()
    wait_until(lambda: not worker.server.connections)


def test_keys_are_readable_by_their_owner_alone(deployment: Path) -> None:
    for key in (deployment / "ca.key", deployment / "127.0.0.1" / "node.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_second_call_keeps_the_ca_so_earlier_nodes_stay_valid(tmp_path: Path) -> None:
    make_certs(["--out", str(tmp_path), "--node", "a"])
    ca = (tmp_path / "ca.pem").read_bytes()
    make_certs(["--out", str(tmp_path), "--node", "b"])
    assert (tmp_path / "ca.pem").read_bytes() == ca == (tmp_path / "a" / "ca.pem").read_bytes()


def test_missing_certificates_are_an_error_that_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(BadCertificates, match="inference certs"):
        server_context(tmp_path)


def test_the_command_refuses_a_name_that_would_lead_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "inference", "certs", "--out", str(tmp_path), "--node", "../x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "no host name" in done.stderr
