"""Fair shares of a full queue: who has most in it gives way to who has least.

Where work is served in the order of its deadlines, a caller's part of the queue is its part of the replicas. So it is
enough to be fair about places: when one arrives for whom there is no room, the last of the caller with the most rows
waiting leaves, provided that it still has no less than the new one afterwards. That gives the max-min fair shares of
"longest queue drop" (Suter, Lakshman, Stiliadis, Choudhury; INFOCOM 1998): who asks for less than an equal share gets
all of it, and the others share what is left alike. A caller alone may have everything.
"""

from collections.abc import Hashable


class FairShare:
    """Rows that wait, by caller. A step costs O(1): callers lie in buckets by their rows, and `most` points at the
    highest that is in use. Holds only callers with rows waiting, so it is as bounded as the queue."""

    __slots__ = ("buckets", "most", "rows_of")

    def __init__(self) -> None:
        self.rows_of: dict[Hashable, int] = {}
        self.buckets: dict[int, dict[Hashable, None]] = {}  # rows → callers that have so many
        self.most = 0

    def add(self, caller: Hashable, rows: int) -> None:
        before = self.rows_of.get(caller, 0)
        self.move(caller, before, before + rows)

    def remove(self, caller: Hashable, rows: int) -> None:
        """Never below zero: rows that were not added are not taken away."""
        before = self.rows_of.get(caller, 0)
        self.move(caller, before, max(0, before - rows))

    def move(self, caller: Hashable, before: int, after: int) -> None:
        if after == before:
            return
        if before:
            bucket = self.buckets[before]
            del bucket[caller]
            if not bucket:
                del self.buckets[before]
        if after:
            self.rows_of[caller] = after
            bucket = self.buckets.get(after) or self.buckets.setdefault(after, {})
            bucket[caller] = None
            if after > self.most:
                self.most = after
        else:
            del self.rows_of[caller]
        while self.most and self.most not in self.buckets:
            self.most -= 1  # pays back, a step a row, what adding raised

    def heaviest(self) -> Hashable | None:
        """The caller with the most rows waiting, of equals the one that has had so many for longest."""
        return next(iter(self.buckets[self.most])) if self.most else None

    def gives_way(self, caller: Hashable, rows: int) -> Hashable | None:
        """Who should make room for `rows` of `caller`: the heaviest, unless the caller would then have more than it."""
        if self.most - rows < self.rows_of.get(caller, 0) + rows:
            return None
        return self.heaviest()
