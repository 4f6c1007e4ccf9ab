"""The order in which work waits: by priority, and within a priority by deadline.

Requests of one priority and one timeout come in that order by themselves, so nearly all of them are just appended.
"""

from bisect import insort
from collections import deque
from math import inf
from operator import attrgetter

from inference.gateway.work import Work

RANK = attrgetter("level", "deadline_s")


def insert(waiting: deque[Work], work: Work) -> None:
    """Put one before those that come after it; among equals it is the last."""
    insort(waiting, work, key=RANK)


def pop_less_urgent(waiting: deque[Work], level: int) -> Work | None:
    """Take out the last, where its level is less urgent than `level`."""
    while waiting and waiting[-1].settled:
        waiting.pop()
    return waiting.pop() if waiting and waiting[-1].level > level else None


def oldest_s(waiting: deque[Work], now_s: float) -> float:
    """Since when the longest waiting has waited."""
    return min((work.queued_s for work in waiting if not work.settled), default=now_s)


def earliest_s(waiting: deque[Work]) -> float:
    """The first deadline of all that wait, of whatever priority."""
    return min((work.deadline_s for work in waiting if not work.settled), default=inf)
