"""`local` beside another program that has its usual ports: free ones instead, said aloud."""

import socket

import pytest

from inference.controller.local import unclaimed_port


def test_a_port_that_another_program_has_is_replaced_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        port = unclaimed_port("127.0.0.1", taken, "gRPC")
    assert port != taken
    assert f"Port {taken} is taken; gRPC listens on {port}." in capsys.readouterr().out


def test_a_free_port_is_kept_and_zero_takes_any() -> None:
    port = unclaimed_port("127.0.0.1", 0, "metrics")
    assert port > 0
    assert unclaimed_port("127.0.0.1", port, "metrics") == port
