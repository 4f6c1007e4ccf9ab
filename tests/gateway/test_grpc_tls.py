"""gRPC over TLS: the certificate of HTTPS, renewed with it."""

import ssl
from typing import Any

import pytest
from support.certificates import write_certificate
from support.grpc_calls import connect
from support.machine import free_ports
from support.waiting import wait_until

ROW = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture
def secured(site: Any, builders: Any) -> Any:
    certificate, key = write_certificate(site.data, "first")
    site.serve(builders["model"]("linear", builders["version"](1, builders["signature"](("x", "FP32", (-1, 4), "y")))))
    return site.start_gateway(
        "--grpc-port", str(free_ports(1)[0]), SWITCHYARD_TLS_CERT=str(certificate), SWITCHYARD_TLS_KEY=str(key)
    )  # fmt: skip


def trusting(certificate: bytes) -> Any:
    import grpc

    return grpc.ssl_channel_credentials(certificate)


def seen(gateway: Any) -> str:
    """The certificate that a client meets that connects now."""
    host, port = gateway.grpc_url.split(":")
    return ssl.get_server_certificate((host, int(port)))


def test_calls_are_answered_over_tls_and_only_so(site: Any, secured: Any) -> None:
    certificate = (site.data / "edge.pem").read_bytes()
    with connect(secured.grpc_url, credentials=trusting(certificate)) as caller:
        assert caller.infer(ROW).code == "OK"
    with connect(secured.grpc_url) as caller:
        assert caller.infer(ROW, timeout_s=5).code == "UNAVAILABLE"


def test_a_renewed_certificate_is_shown_without_a_restart_and_half_a_pair_is_not(site: Any, secured: Any) -> None:
    first = (site.data / "edge.pem").read_text()
    assert seen(secured) == first
    with connect(secured.grpc_url, credentials=trusting(first.encode())) as held:
        assert held.infer(ROW).code == "OK"
        (site.data / "edge.key").write_text("no key")
        secured.wait_for("certificate_not_renewed")
        assert seen(secured) == first
        write_certificate(site.data, "second")
        second = (site.data / "edge.pem").read_text()
        wait_until(lambda: seen(secured) == second)
        assert held.infer(ROW).code == "OK"  # on its old connection
    with connect(secured.grpc_url, credentials=trusting(second.encode())) as caller:
        assert caller.infer(ROW).code == "OK"
