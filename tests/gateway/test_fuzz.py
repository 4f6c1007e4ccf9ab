"""Ten thousand requests with a few bytes changed: an answer or a hang-up, no stack trace, and the gateway lives on.

bench/fuzz.py sends a million.
"""

import asyncio
import random
from typing import Any

import psutil
import pytest

from bench.fuzzing import Seen, fuzz, mutate, valid_requests, wrong

KEY = "sy_testtest_all"
REQUESTS = 5_000
GROWTH_MB = 40  # of memory: pools and caches fill up; what leaks by request grows on


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_requests_break_nothing(shared: Any, seed: int) -> None:
    starts = valid_requests("linear", KEY)
    gateway = psutil.Process(shared.process.pid)
    asyncio.run(fuzz(shared.host, shared.port, starts, REQUESTS // 5, seed + 100))
    before_mb = gateway.memory_info().rss / 2**20

    seen = asyncio.run(fuzz(shared.host, shared.port, starts, REQUESTS, seed))

    assert not seen.examples
    assert seen.hangs == 0
    assert seen.refused == 0
    assert seen.statuses["200"] > REQUESTS / 100, "the changes leave nothing of any request"
    assert seen.statuses["400"] > REQUESTS / 4
    assert gateway.memory_info().rss / 2**20 < before_mb + GROWTH_MB
    assert shared.infer([1, 2, 3, 4])[0] == 200
    assert not [line for line in shared.lines() if str(line.get("event", "")).endswith("_broke")]


def test_the_same_seed_makes_the_same_requests() -> None:
    starts = valid_requests("linear", KEY)
    first, second = random.Random(7), random.Random(7)
    assert [mutate(starts[0], starts, first) for _ in range(50)] == [
        mutate(starts[0], starts, second) for _ in range(50)
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x00\x12\x04",
        b'HTTP/1.1 500 Internal Server Error\r\n\r\n{"code": "internal"}',
        b"HTTP/1.1 302 Found\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\nTraceback (most recent call last)",
        b"HTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n",
    ],
)
def test_what_must_never_come_back_is_seen(answer: bytes) -> None:
    seen = Seen()
    seen.note(b"raw", answer, 0.0, hung=False)
    assert len(seen.examples) == 1
    assert not wrong(b'HTTP/1.1 400 Bad Request\r\n\r\n{"error": "no", "code": "bad_input"}')
