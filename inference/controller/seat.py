"""Whether this controller acts, and under which fence.

With Redis, it acts while it holds the lease. When Redis goes away the holder goes on, past the lease's end: the workers
are processes of its own node, whose lock it holds, so nobody else starts or stops them; what it publishes meanwhile
carries its fence, and loses to whoever takes the lease on another node. As soon as Redis answers and names another
holder, it stops acting. A controller that starts while Redis is away takes over only what its own node held last.

Without Redis (`local`) the node's lock is all there is.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from inference.log import get_log
from inference.sync.connect import AWAY, connect, still_wanted
from inference.sync.lease import TTL_S, Lease, NodeLock, SeatRecord, read_record, write_record

log = get_log()

PERIOD_S = 1.0


class Seat:
    """`fence` is 0 while this controller must not act. `keep` renews; ask `acts` before each round of actions."""

    def __init__(self, redis_url: str, folder: Path, clock: Callable[[], float] = time.monotonic):
        self.folder = folder
        self.clock = clock
        self.lock = NodeLock(folder)
        self.client = connect(redis_url) if redis_url else None
        self.lease: Lease | None = None
        self.record: SeatRecord | None = None
        self.fence = 0
        self.away = False
        self.refused = False  # Redis said that another holds the lease
        self.renewed_at_s = float("-inf")
        self.why_not = "It has not asked for the lease yet."

    def acts(self) -> bool:
        if not self.fence:
            return False
        # A loop that was stopped for longer than the lease lives must ask again before it does anything.
        return self.client is None or self.away or self.clock() - self.renewed_at_s < TTL_S

    async def keep(self, highest_fence: Callable[[], int], on_change: Callable[[], None]) -> None:
        """Take and hold until cancelled. `highest_fence`: of any document that this node has seen."""
        while True:
            still_wanted()
            before = self.fence
            await self.renew(highest_fence())
            if self.fence != before:
                on_change()
            await asyncio.sleep(PERIOD_S)

    async def renew(self, highest_fence: int) -> None:
        if not self.lock.take():
            self.why_not = "Another controller runs on this data folder."
            return
        record = self.record = self.record or read_record(self.folder)
        if self.client is None:
            if not self.fence:
                self.sit(record, max(record.fence, highest_fence) + 1)
            return
        lease = self.lease = self.lease or Lease(self.client, record.holder)
        try:
            asked_at_s = self.clock()
            held = lease.held and await lease.renew()
            if not held:
                if self.fence and not self.away:
                    log.warning("lease_lost", fence=self.fence)
                held = await lease.take(max(record.fence, highest_fence))
            self.away, self.refused, self.renewed_at_s = False, not held, asked_at_s
            if not held:
                self.leave("Another controller holds the lease.")
            elif lease.fence != self.fence:
                self.sit(record, lease.fence)
        except AWAY as error:
            self.go_on_alone(record, highest_fence, str(error) or type(error).__name__)

    def go_on_alone(self, record: SeatRecord, highest_fence: int, error: str) -> None:
        if not self.away:
            log.warning("lease_unknown", error=error, fence=self.fence)
        self.away = True
        if not self.fence and not self.refused and record.fence and record.fence >= highest_fence:
            self.fence = record.fence
            log.info("seat_resumed", fence=self.fence)
        self.why_not = "Redis is away, and this node was not the last to hold the lease."

    def sit(self, record: SeatRecord, fence: int) -> None:
        self.fence = record.fence = fence
        write_record(self.folder, record)
        log.info("seat_taken", fence=fence)

    def leave(self, why: str) -> None:
        if self.fence:
            log.warning("seat_left", fence=self.fence, why=why)
        self.fence, self.why_not = 0, why

    async def close(self) -> None:
        """Free the seat for a successor. The workers stay: it will adopt them."""
        self.fence = 0
        if self.lease is not None and self.client is not None:
            try:
                await self.lease.release()
                await self.client.aclose()
            except AWAY as error:
                log.info("lease_left_to_expire", error=str(error) or type(error).__name__)
        self.lock.release()
