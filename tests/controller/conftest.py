import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support.valkey import run_own_valkey

from inference.controller.loop import Controller
from inference.controller.seat import Seat
from inference.drivers.fake import FakeDriver
from inference.sync.feed import Feed
from inference.sync.files import DocumentFolder
from inference.sync.report import Reporter


class Room:
    """A controller over fake workers whose world stands still until the test moves it."""

    def __init__(self, data: Path, driver: FakeDriver | None = None):
        self.data = data
        self.driver = driver or FakeDriver()
        self.folder = DocumentFolder(data / "documents")
        self.feed = Feed("", data / "documents")
        self.feed.load()
        self.reporter = Reporter("")
        self.told: dict[str, list] = {"worker": [], "event": [], "controller": []}
        for name, told in self.told.items():
            setattr(self.reporter, name, told.append)
        self.seat = Seat("", data / "run")
        self.controller = Controller(
            self.feed, self.reporter, self.driver, self.seat, self.driver, asyncio.Event(),
            data, "local", "default", 20.0,
            clock=lambda: self.driver.now_s, wall=lambda: self.driver.now_s, cores=8,
        )  # fmt: skip

    async def write(self, *documents) -> None:
        for kind, key, document in documents:
            self.folder.write(kind, key, document)
        self.feed.accept(self.feed.store.changes())
        for kind, key, _ in documents:
            self.controller.on_change(kind, key)

    async def turn(self, by_s: float = 0.0) -> None:
        if not self.seat.fence:
            await self.seat.renew(0)
        self.driver.advance(by_s)
        await self.controller.turn()

    async def settle(self, turns: int = 8) -> None:
        """Everything that loads gets ready, everything that drains goes."""
        for _ in range(turns):
            for replica in list(self.driver.jobs):
                self.driver.finish_loading(replica)
            await self.turn(1.0)

    @property
    def endpoints(self) -> dict[str, str]:
        document = self.feed.documents.endpoints.get("default")
        return {one.replica: one.state.value for one in document.replicas} if document else {}

    def weights(self, model: str = "m") -> list[int]:
        return [one.version for one in self.feed.documents.effective[model].weights]


@pytest.fixture
def room(short_tmp) -> Room:
    return Room(short_tmp)


@pytest.fixture
def next_room() -> Callable[[Room], Room]:
    """The same world after its controller ended and another started."""

    def start(before: Room) -> Room:
        before.seat.lock.release()
        return Room(before.data, before.driver)

    return start


@pytest.fixture
def valkey_at() -> Callable:
    return run_own_valkey
