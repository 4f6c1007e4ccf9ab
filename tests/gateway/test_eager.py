import asyncio
from typing import Any

import pytest

from inference.gateway.eager import Eager

pytestmark = pytest.mark.asyncio


class Outcome:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, BaseException | None]] = []

    def __call__(self, result: Any, error: BaseException | None) -> None:
        self.calls.append((result, error))


async def test_a_coroutine_that_waits_for_nothing_is_done_at_once() -> None:
    async def answer() -> int:
        return 7

    done = Outcome()
    Eager(answer(), done)
    assert done.calls == [(7, None)]


async def test_it_goes_on_when_what_it_waits_for_is_there() -> None:
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))

    async def inner() -> int:
        return await first + await second

    async def outer() -> int:
        return 2 * await inner()

    done = Outcome()
    Eager(outer(), done)
    first.set_result(1)
    await asyncio.sleep(0)
    assert done.calls == []
    second.set_result(2)
    await asyncio.sleep(0)
    assert done.calls == [(6, None)]


async def test_errors_come_out_whole() -> None:
    future = asyncio.get_running_loop().create_future()

    async def broken() -> None:
        await future

    done = Outcome()
    Eager(broken(), done)
    future.set_exception(KeyError("x"))
    await asyncio.sleep(0)
    assert [type(error) for _, error in done.calls] == [KeyError]


async def test_cancelling_is_seen_where_it_waits_and_told_once() -> None:
    future = asyncio.get_running_loop().create_future()
    seen = []

    async def waiting() -> None:
        try:
            await future
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    done = Outcome()
    running = Eager(waiting(), done)
    running.cancel()
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    assert seen == ["cancelled"]
    assert [type(error) for _, error in done.calls] == [asyncio.CancelledError]


async def test_cancelling_after_the_answer_changes_nothing() -> None:
    future = asyncio.get_running_loop().create_future()

    async def waiting() -> int:
        return await future

    done = Outcome()
    running = Eager(waiting(), done)
    future.set_result(1)
    running.cancel()
    await asyncio.sleep(0)
    assert done.calls == [(1, None)]
