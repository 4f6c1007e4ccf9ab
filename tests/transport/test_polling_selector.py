"""A selector that may look again and again tells the same as one that sleeps, and sleeps where waits are long."""

import selectors
import socket
import threading
from collections.abc import Iterator

import pytest

from inference.policy.polling import Polling
from inference.transport.polling_selector import PollingSelector

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def watching(sock: socket.socket, *, eager: bool) -> PollingSelector:
    polling = Polling(0.01)
    for _ in range(60 if eager else 0):
        polling.ended(0.0)
    assert bool(polling.patience_s) is eager
    selector = PollingSelector(polling)
    selector.register(sock, selectors.EVENT_READ, "here")
    return selector


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("timeout", [0, 0.002, 5, None])
def test_what_is_ready_is_told_at_once(pair: Pair, timeout: float | None, eager: bool) -> None:
    with watching(pair[0], eager=eager) as selector:
        pair[1].send(b"x")
        assert [(key.data, events) for key, events in selector.select(timeout)] == [("here", selectors.EVENT_READ)]


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("timeout", [-1, 0, 0.002, 0.03])
def test_nothing_is_told_when_nothing_comes(pair: Pair, timeout: float, eager: bool) -> None:
    with watching(pair[0], eager=eager) as selector:
        assert selector.select(timeout) == []


@pytest.mark.parametrize("eager", [False, True])
def test_what_comes_while_it_waits_ends_the_wait(pair: Pair, eager: bool) -> None:
    with watching(pair[0], eager=eager) as selector:
        timer = threading.Timer(0.03, pair[1].send, [b"x"])  # later than any looking
        timer.start()
        assert selector.select(None)
        timer.join()


def test_after_long_waits_it_looks_once_and_sleeps(pair: Pair) -> None:
    with watching(pair[0], eager=True) as selector:
        for _ in range(12):
            selector.select(0.02)
        assert selector.polling.patience_s == 0.0


def test_short_time_limits_teach_nothing(pair: Pair) -> None:
    with watching(pair[0], eager=True) as selector:
        for _ in range(60):
            selector.select(0.0001)
        assert selector.polling.patience_s > 0.0
