"""HTTPS at the gateway: real handshakes, curl, and a renewal that nobody notices."""

import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.certificates import write_certificate

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
KEY = {"Authorization": "Bearer sy_testtest_all"}


@pytest.fixture
def secured(site: Any, builders: Any) -> Any:
    certificate, key = write_certificate(site.data, "first")
    site.serve(builders["model"]("linear", builders["version"](1, builders["signature"](("x", "FP32", (-1, 4), "y")))))
    gateway = site.start_gateway(SWITCHYARD_TLS_CERT=str(certificate), SWITCHYARD_TLS_KEY=str(key))
    gateway.certificate = certificate
    return gateway


def trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def name_seen(gateway: Any) -> str:
    """Whom a client meets that connects now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((gateway.host, gateway.port), timeout=5) as plain,
        context.wrap_socket(plain) as secure,
    ):
        from cryptography import x509

        der = secure.getpeercert(binary_form=True)
        assert der
        return x509.load_der_x509_certificate(der).subject.rfc4514_string()


def test_clients_are_answered_over_tls_and_only_so(secured: Any) -> None:
    assert secured.url.startswith("https://")
    with httpx.Client(verify=trust(secured.certificate)) as client:
        for _ in range(3):
            assert client.post(f"{secured.url}/v2/models/linear/infer", json=BODY, headers=KEY).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{secured.url}/v2/health/live")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(secured.url.replace("https", "http") + "/v2/health/live")
    assert secured.call("GET", "/readyz", admin=True)[0] == 200


def test_curl_speaks_to_it(secured: Any) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        ["curl", "-sS", "--cacert", str(secured.certificate), "--tlsv1.3", f"{secured.url}/v2/health/live"],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert done.stdout == '{"live":true}'


def test_a_renewed_certificate_is_taken_up_and_open_connections_go_on(secured: Any) -> None:
    assert name_seen(secured) == "CN=first"
    with httpx.Client(verify=trust(secured.certificate)) as client:
        assert client.get(f"{secured.url}/v2/health/live").status_code == 200
        write_certificate(secured.certificate.parent, "second")
        secured.wait_for("certificate_renewed")
        assert client.get(f"{secured.url}/v2/health/live").status_code == 200
    assert name_seen(secured) == "CN=second"


def test_half_a_pair_changes_nothing_until_the_other_half_comes(secured: Any, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, "second")
    certificate.replace(secured.certificate)
    secured.wait_for("certificate_not_renewed")
    assert name_seen(secured) == "CN=first"
    shutil.copy(key, secured.certificate.with_name("edge.key"))
    secured.wait_for("certificate_renewed")
    assert name_seen(secured) == "CN=second"


@pytest.mark.parametrize("what", ["half", "missing", "locked", "nonsense"])
def test_a_certificate_that_cannot_be_used_stops_the_start_by_name(site: Any, tmp_path: Path, what: str) -> None:
    certificate, key = write_certificate(tmp_path, "first", password=b"secret" if what == "locked" else None)
    environ = {"SWITCHYARD_TLS_CERT": str(certificate), "SWITCHYARD_TLS_KEY": str(key)}
    if what == "half":
        environ["SWITCHYARD_TLS_KEY"] = ""
    elif what == "missing":
        key.unlink()
    elif what == "nonsense":
        key.write_text("no key")
    with pytest.raises(AssertionError, match="SWITCHYARD_TLS_KEY"):
        site.start_gateway(**environ)


def test_who_never_shakes_hands_is_cut_off(site: Any) -> None:
    certificate, key = write_certificate(site.data, "first")
    gateway = site.start_gateway(
        SWITCHYARD_TLS_CERT=str(certificate), SWITCHYARD_TLS_KEY=str(key), SWITCHYARD_HEADER_TIMEOUT_S="1"
    )
    with socket.create_connection((gateway.host, gateway.port), timeout=10) as sock:
        begun_s = time.monotonic()
        assert sock.recv(100) == b""
        assert time.monotonic() - begun_s < 5


def test_it_drains_over_tls(secured: Any) -> None:
    with httpx.Client(verify=trust(secured.certificate)) as client:
        assert client.get(f"{secured.url}/v2/health/live").status_code == 200
        secured.process.terminate()
        assert secured.process.wait(15) == 0
