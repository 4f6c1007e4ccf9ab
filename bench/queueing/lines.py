"""The queues that ours is compared with. How many rows a batch takes, and when, is decided for all of them as for ours;
they differ in the order, in who is turned away, and in whether anybody is dropped before a replica works for nothing.

    fifo           no bound, no order but arrival: what a plain queue does
    fifo-bounded   512 places, and who has expired is dropped: a dynamic batcher with a queue size and a timeout
    fifo-tuned     the same with as many places as can be served within the deadline: set by hand for this very setting
    edf            no bound, the nearest deadline first, who has expired is dropped
"""

from bisect import insort
from collections import deque
from operator import attrgetter

from inference.policy.admission import Admission
from inference.policy.codel import Codel
from inference.policy.waiting import Batch, Leaver, Reason, WaitingLine
from inference.simulator.batch_service import Line, Request


class PlainLine:
    """A queue in the order of arrival or of deadlines; knows neither priority nor how long a batch takes."""

    def __init__(self, places: float = float("inf"), drop_expired: bool = True, by_deadline: bool = False):
        self.places = places
        self.drop_expired = drop_expired
        self.by_deadline = by_deadline
        self.waiting: deque[Request] = deque()
        self.rows = 0

    def offer(self, work: Request, now_s: float) -> tuple[Leaver[Request], ...]:
        if len(self.waiting) >= self.places:
            return (Leaver(work, Reason.FULL),)
        if self.by_deadline:
            insort(self.waiting, work, key=attrgetter("deadline_s"))
        else:
            self.waiting.append(work)
        self.rows += work.rows
        return ()

    def take(self, share: int, most: int, now_s: float) -> Batch[Request]:
        works: list[Request] = []
        leavers: list[Leaver[Request]] = []
        rows = 0
        while self.waiting and (not works or rows + self.waiting[0].rows <= share):
            work = self.waiting.popleft()
            self.rows -= work.rows
            if self.drop_expired and work.deadline_s <= now_s:
                leavers.append(Leaver(work, Reason.EXPIRED))
                continue
            works.append(work)
            rows += work.rows
        return Batch(works, rows, leavers)


LINES = ("ours", "fifo", "fifo-bounded", "fifo-tuned", "edf")


def make_line(name: str, admission: Admission, places: int, places_in_time: int, target_s: float) -> Line:
    if name == "ours":
        return WaitingLine(admission, places, Codel(target_s) if target_s else None)
    if name == "fifo":
        return PlainLine(drop_expired=False)
    if name == "fifo-bounded":
        return PlainLine(places)
    if name == "fifo-tuned":
        return PlainLine(places_in_time)
    return PlainLine(by_deadline=True)
