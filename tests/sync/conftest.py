import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.valkey import run_own_valkey

from inference.spec import ModelSpec
from inference.sync.feed import Feed


@pytest.fixture
def model() -> Callable[..., ModelSpec]:
    """A model document, as the console would write it."""

    def make(generation: int, name: str = "m", epoch: str = "e1", **fields) -> ModelSpec:
        return ModelSpec(name=name, epoch=epoch, generation=generation, **fields)

    return make


@pytest.fixture
def following() -> Callable:
    """`async with following(url, folder) as feed`: a feed that runs; `feed.heard` lists (kind, key) as they came."""

    @contextlib.asynccontextmanager
    async def follow(url: str, folder: Path) -> AsyncIterator[Feed]:
        feed = Feed(url, folder)
        feed.load()
        feed.heard = []
        task = asyncio.create_task(feed.run(lambda kind, key: feed.heard.append((kind, key))))
        try:
            yield feed
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return follow


@pytest.fixture
def until() -> Callable:
    async def wait(what: Callable[[], object], deadline_s: float = 15.0, why: str = "") -> object:
        async with asyncio.timeout(deadline_s):
            while not (found := what()):
                await asyncio.sleep(0.01)
            return found

    return wait


@pytest.fixture
def valkey_at() -> Callable:
    return run_own_valkey
