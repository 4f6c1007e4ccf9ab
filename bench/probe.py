"""A good client: one keep-alive connection, one request after the other, each latency kept."""

import http.client
import time
from collections.abc import Callable

from bench.stand import Gateway

PATIENCE_S = 30.0


class Failed(Exception):
    """A request that should have been answered was not."""


def ask_for(gateway: Gateway, body: bytes, wanted: Callable[[], bool], pause_s: float = 0.0) -> list[float]:
    """Latencies in ms while `wanted` says so. Raises Failed for any answer but 200."""
    host, port = gateway.at.url.removeprefix("http://").split(":")
    path = gateway.infer_url.removeprefix(gateway.at.url)
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
    taken_ms = []
    try:
        while wanted():
            began_s = time.perf_counter()
            connection.request("POST", path, body, gateway.headers)
            answer = connection.getresponse()
            answer.read()
            taken_ms.append((time.perf_counter() - began_s) * 1e3)
            if answer.status != 200:
                raise Failed(f"{answer.status} {answer.reason}")
            if pause_s:
                time.sleep(pause_s)
    except (OSError, http.client.HTTPException) as error:
        raise Failed(repr(error)) from error
    finally:
        connection.close()
    return taken_ms


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
