"""The event loop stays awake between things that come shortly after one another, and sleeps when they stop."""

import asyncio
import os
from collections.abc import Callable

import pytest

from inference.gateway.polling import LoopPolling

Count = Callable[[], int]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Count:
    """How often the loop has looked."""
    counted = [0]

    def give_way() -> None:
        counted[0] += 1

    monkeypatch.setattr(os, "sched_yield", give_way)
    return lambda: counted[0]


@pytest.mark.asyncio
async def test_it_looks_after_many_short_waits_and_then_sleeps(looks: Count) -> None:
    polling = LoopPolling(asyncio.get_running_loop(), 0.01)
    for _ in range(60):
        polling.batch_left()
        polling.answers_left()
    while polling.looking:
        await asyncio.sleep(0)
    seen = looks()
    assert seen > 0
    await asyncio.sleep(0.02)
    assert looks() == seen


@pytest.mark.asyncio
async def test_a_slow_model_with_quick_clients_is_slept_through_and_they_are_looked_for() -> None:
    polling = LoopPolling(asyncio.get_running_loop(), 0.002)
    for _ in range(30):
        polling.batch_left()
        await asyncio.sleep(0.003)
        polling.answers_left()
    assert polling.after_batch.patience_s == 0.0
    assert polling.after_answers.patience_s == 0.002


@pytest.mark.asyncio
@pytest.mark.parametrize("replicas", [1, 2, 4])
async def test_batches_that_leave_in_one_turn_are_no_short_waits(looks: Count, replicas: int) -> None:
    polling = LoopPolling(asyncio.get_running_loop(), 0.0005)
    for _ in range(20):
        for _ in range(replicas):
            polling.batch_left()
        await asyncio.sleep(0.001)
        for _ in range(replicas):
            polling.answers_left()
        await asyncio.sleep(0.001)
    assert polling.after_batch.patience_s == polling.after_answers.patience_s == 0.0
    assert looks() == 0


@pytest.mark.asyncio
async def test_it_never_looks_where_it_is_left_out(looks: Count) -> None:
    polling = LoopPolling(asyncio.get_running_loop(), 0.0)
    for _ in range(60):
        polling.batch_left()
        polling.answers_left()
    await asyncio.sleep(0.005)
    assert looks() == 0
    assert not polling.looking
