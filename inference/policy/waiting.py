"""The queue of a unit: who may wait in it, who is next, who has to leave.

Earliest deadline first within a level of priority. A request that would be answered too late is refused when it comes
(`admission`), one that has become hopeless is dropped before it costs a replica anything, and where there is no room,
less urgent ones and those of the caller with the most in the queue give way (`fair_share`). While the queue stands
(`codel`), waits are kept short.

A pure object owned by the gateway: it knows neither clock nor socket. A step costs about 1 µs a request.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Hashable, Iterator
from enum import Enum
from math import inf
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from inference.policy.admission import LEVELS, Admission
from inference.policy.codel import Codel
from inference.policy.fair_share import FairShare

DUE = attrgetter("deadline_s")
MAX_BATCH_BYTES = 256 * 1024 * 1024


class Waiting(Protocol):
    """What the queue reads of a request. `gone` is the queue's own: false exactly while the request waits in it."""

    level: int  # 1 … 5, 1 is served first
    rows: int
    size_bytes: int
    queued_s: float
    deadline_s: float
    caller: Hashable
    gone: bool


W = TypeVar("W", bound=Waiting)


class Reason(str, Enum):
    LATE = "late"  # it would be answered after its deadline
    EXPIRED = "expired"  # its deadline has passed
    FULL = "full"  # no place in the queue
    STANDING = "standing"  # the queue stands; waits are kept short
    SHARE = "share"  # its caller has more waiting than others
    URGENT = "urgent"  # more urgent work took its place


class Leaver(Struct, Generic[W], frozen=True):
    """A request that has to leave: refused as it came, or later. `retry_after_s`: when another try may do better."""

    work: W
    reason: Reason
    retry_after_s: float = 0.0


class Batch(Struct, Generic[W], frozen=True):
    works: list[W]
    rows: int
    leavers: list[Leaver[W]]


class WaitingLine(Generic[W]):
    def __init__(self, admission: Admission, max_requests: int, codel: Codel | None = None, fair: bool = True):
        """`codel`: None where only deadlines bound a wait. `fair`: whether callers are held to their shares."""
        self.admission = admission
        self.max_requests = max_requests
        self.codel = codel
        self.lanes: list[deque[W]] = [deque() for _ in range(LEVELS)]  # may hold some that are gone
        self.rows_at = [0] * LEVELS
        self.shares = [FairShare() for _ in range(LEVELS)] if fair else None
        self.count = 0
        self.rows = 0

    def __iter__(self) -> Iterator[W]:
        """Those that wait, as they would be taken. Ends with an error where one comes or is taken meanwhile."""
        return (work for lane in self.lanes for work in lane if not work.gone)

    # In

    def offer(self, work: W, now_s: float) -> tuple[Leaver[W], ...]:
        """Let it wait, or not. Returns those that have to leave: nobody, `work` itself, or others that give way."""
        level, admission = work.level, self.admission
        work.gone = True  # until it waits
        left_s = work.deadline_s - now_s
        admission.note_arrival(level, work.rows, left_s)
        if not left_s > 0.0:
            return (Leaver(work, Reason.EXPIRED),)
        leavers: tuple[Leaver[W], ...] = ()
        if admission.trusted(now_s):
            refusal = self.forecast(work, left_s, now_s)
            if refusal is not None:
                leavers = self.give_way(work)
                if not leavers:
                    return (refusal,)
        if self.count >= self.max_requests:
            leavers = self.make_place(work)
            if not leavers:
                return (Leaver(work, Reason.FULL, admission.wait_s(LEVELS - 1, self.rows, now_s)),)
        self.put(work)
        return leavers

    def forecast(self, work: W, left_s: float, now_s: float) -> Leaver[W] | None:
        """Why it should not wait, as far as can be known now."""
        level, admission = work.level, self.admission
        lane, ahead = self.lanes[level], self.rows_at[level]
        if lane and lane[-1].deadline_s > work.deadline_s:
            ahead = self.rows_before(work)
        if level > 1 and self.rows > self.rows_at[level]:
            ahead += sum(self.rows_at[1:level])
        wait_s, answer_s = admission.answer_s(level, ahead, work.rows, now_s)
        if answer_s > left_s:
            return Leaver(work, Reason.LATE, max(answer_s - left_s, admission.full_s))
        if self.codel is not None and wait_s > self.codel.wait_limit_s(now_s):
            return Leaver(work, Reason.STANDING, max(wait_s - self.codel.target_s, admission.full_s))
        return None

    def rows_before(self, work: W) -> int:
        """About how many rows of its level are due no later, for one that does not come in the order of deadlines."""
        lane = self.lanes[work.level]
        return self.rows_at[work.level] * bisect_right(lane, work.deadline_s, key=DUE) // len(lane)

    def put(self, work: W) -> None:
        level, rows = work.level, work.rows
        lane = self.lanes[level]
        if lane and lane[-1].deadline_s > work.deadline_s:
            lane.insert(bisect_right(lane, work.deadline_s, key=DUE), work)
        else:
            lane.append(work)
        work.gone = False
        self.count += 1
        self.rows += rows
        self.rows_at[level] += rows
        if self.shares is not None:
            self.shares[level].add(work.caller, rows)

    # Out

    def leave(self, work: W) -> None:
        """It waits no longer: cancelled or expired. Where it does not wait, as after `take`, this does nothing."""
        if not work.gone:
            self.uncount(work)
            if len(self.lanes[work.level]) > 2 * self.max_requests:  # mostly of those that are gone
                self.lanes[work.level] = deque(one for one in self.lanes[work.level] if not one.gone)

    def uncount(self, work: W) -> None:
        work.gone = True
        level, rows = work.level, work.rows
        self.count -= 1
        self.rows -= rows
        self.rows_at[level] -= rows
        if self.shares is not None:
            self.shares[level].remove(work.caller, rows)

    def make_place(self, work: W) -> tuple[Leaver[W], ...]:
        """In a full queue: the last of the least urgent level below its own leaves, else who has more in it."""
        for level in range(LEVELS - 1, work.level, -1):
            if self.rows_at[level]:
                last = next(one for one in reversed(self.lanes[level]) if not one.gone)
                self.leave(last)
                return (Leaver(last, Reason.URGENT, self.admission.full_s),)
        return self.give_way(work)

    def give_way(self, work: W) -> tuple[Leaver[W], ...]:
        """Of the same level, the last of the caller with the most rows, as many as the new one needs, where that is
        fairer; they have left. Nobody: it would not be."""
        if self.shares is None:
            return ()
        heaviest = self.shares[work.level].gives_way(work.caller, work.rows)
        if heaviest is None:
            return ()
        leavers: list[Leaver[W]] = []
        freed = 0
        for one in reversed(self.lanes[work.level]):
            if freed >= work.rows:
                break
            if one.caller == heaviest and not one.gone:
                freed += one.rows
                leavers.append(Leaver(one, Reason.SHARE, self.admission.full_s))
        for leaver in leavers:
            self.leave(leaver.work)
        return tuple(leavers)

    # Batches

    def take(self, share: int, most: int, now_s: float) -> Batch[W]:
        """The next batch: `share` rows, or one request with up to `most`; and those found too late to be tried."""
        admission, model = self.admission, self.admission.model
        trusted = admission.trusted(now_s)
        works: list[W] = []
        leavers: list[Leaver[W]] = []
        rows = size_bytes = 0
        limit: float = share
        for level in range(1, LEVELS):
            if not self.rows_at[level]:
                self.lanes[level].clear()
                continue
            lane = self.lanes[level]
            if trusted and level > 1:
                limit = max(rows, min(limit, admission.rows_for(level, int(limit))))
            newest_first = not trusted and self.codel is not None and self.is_last(level) and self.codel.stands(now_s)
            pop = lane.pop if newest_first else lane.popleft
            while lane:
                work = lane[-1] if newest_first else lane[0]
                if work.gone:
                    pop()
                    continue
                wanted = rows + work.rows
                if works and (wanted > limit or size_bytes + work.size_bytes > MAX_BATCH_BYTES):
                    return self.close(works, rows, leavers, now_s)
                left_s = work.deadline_s - now_s
                in_time = model.rows_within(left_s) if trusted else inf
                if in_time < wanted and not works and admission.idles and model.predict_s(wanted) <= left_s:
                    in_time = wanted  # worth a try of its own
                reason = self.why_not(work, rows, limit, left_s, in_time)
                if reason is None and in_time < wanted:
                    return self.close(works, rows, leavers, now_s)
                pop()
                self.uncount(work)
                if reason is not None:
                    leavers.append(Leaver(work, reason, admission.full_s))
                    continue
                works.append(work)
                rows, size_bytes = wanted, size_bytes + work.size_bytes
                limit = min(limit, max(in_time, wanted))
                if rows >= most:
                    return self.close(works, rows, leavers, now_s)
        return self.close(works, rows, leavers, now_s)

    def why_not(self, work: W, rows: int, limit: float, left_s: float, in_time: float) -> Reason | None:
        """Why a request has to leave that would be next in a batch of `rows` so far; None: it need not."""
        if not left_s > 0.0:
            return Reason.EXPIRED
        if in_time < work.rows or (in_time < limit and self.is_better_without(work, rows, limit, in_time)):
            return Reason.LATE
        return None

    def is_better_without(self, work: W, rows: int, limit: float, in_time: float) -> bool:
        """Whether this request, which bears only a short batch, should be lost for a longer one.

        A short batch saves it; but where more arrives than batches so short can serve, others are lost for it.
        """
        short, long = max(in_time, rows + work.rows), min(limit, rows + self.rows_at[work.level] - work.rows)
        if long <= short or (net := self.admission.net_rows(short)) >= 0.0:
            return False  # who is not served by a short batch is served by the next
        return self.admission.net_rows(long) > net

    def is_last(self, level: int) -> bool:
        return not any(self.rows_at[level + 1 :])

    def close(self, works: list[W], rows: int, leavers: list[Leaver[W]], now_s: float) -> Batch[W]:
        if works and self.rows >= self.admission.max_rows:
            self.admission.note_packed(rows)
        if self.codel is not None:
            if not self.rows:
                self.codel.emptied(now_s)
            elif works:
                self.codel.passed(now_s - works[-1].queued_s, now_s)
        return Batch(works, rows, leavers)
