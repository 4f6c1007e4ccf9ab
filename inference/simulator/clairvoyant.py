"""What nobody can beat: the most requests that could be answered in time, by one who knows the future.

Requests are of one row. `goodput_bound` is an upper bound on every schedule, of any number of servers;
`most_in_time` is the exact optimum of one server, for short slices: it says how far the bound is from the truth.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import pairwise
from math import ceil, floor

import numpy as np

from inference.simulator.durations import Executor

ROUNDING_S = 1e-9  # by which sums of times may be off: ties are given to those who ask, else it would be no upper bound
LATEST_S = 1e12  # of an arrival: 31,000 years


def goodput_bound(
    at_s: Sequence[float], deadline_s: Sequence[float], executor: Executor, servers: int, max_rows: int
) -> int:
    """An upper bound on how many of the requests any scheduler can answer in time.

    Three things are made easier than they are, so no schedule does better: a request pays only its part of the largest
    batch that could be done within its time, (a + c·b)/b; its work may be cut up and spread over all servers; and its
    window from arrival to deadline is widened to a grid of one request's part. Then each is a unit of work on a grid of
    slots, and earliest deadline first, without those that have expired, serves the most (a bipartite matching).
    A batch's noise is taken at its mean. Deadlines may be infinite. Raises ValueError for arrivals beyond LATEST_S.
    """
    if not all(abs(at) <= LATEST_S for at in at_s):
        raise ValueError(f"Arrivals must be times up to {LATEST_S:g} s.")
    longest_s = max((deadline - at for at, deadline in zip(at_s, deadline_s, strict=True)), default=0.0) + ROUNDING_S
    rows = max((b for b in range(1, max_rows + 1) if executor.mean_s(b) <= longest_s), default=0)
    if not rows or not servers:
        return 0
    slot_s = executor.mean_s(rows) / rows / servers
    least_s = executor.mean_s(1)
    end_s = max(at_s) + (len(at_s) + 1) * slot_s  # by which even the last of all is served
    jobs = sorted(
        (floor((at - ROUNDING_S) / slot_s), ceil((min(deadline, end_s) + ROUNDING_S) / slot_s))
        for at, deadline in zip(at_s, deadline_s, strict=True)
        if deadline >= at + least_s
    )
    served = place = slot = 0
    due: list[int] = []  # last slots of those that have arrived
    while place < len(jobs) or due:
        if not due:
            slot = max(slot, jobs[place][0])
        while place < len(jobs) and jobs[place][0] <= slot:
            heappush(due, jobs[place][1])
            place += 1
        while due and due[0] <= slot:
            heappop(due)
        if due:
            heappop(due)
            served += 1
            slot += 1
    return served


def most_in_time(at_s: Sequence[float], deadline_s: Sequence[float], executor: Executor, max_rows: int) -> int:
    """The most requests that one server can answer in time in batches of up to `max_rows`: exact.

    Arrivals and deadlines must both ascend. Then some best schedule serves requests in their order, and each batch ends
    with its youngest and holds the youngest before it: so `free[k]`, the earliest moment at which the server is free
    again after k of the requests so far, is all that matters. O(n·max_rows) steps over arrays of what can be served,
    which is seconds for a thousand requests and minutes for twenty thousand.
    Raises ValueError where the order is another.
    """
    count = len(at_s)
    ordered = all(a <= b for times in (at_s, deadline_s) for a, b in pairwise(times))
    if not ordered:
        raise ValueError("Arrivals and deadlines must both ascend.")
    seconds = [executor.mean_s(rows) for rows in range(max_rows + 1)]
    # tables[i % …][k] after the first i requests; no more than max_rows + 1 of them are looked at again.
    tables = np.full((max_rows + 1, count + 1), np.inf)
    tables[0, 0] = -np.inf
    most = [0]  # per i: the highest k that is possible
    for last in range(count):
        table = tables[last % (max_rows + 1)].copy()
        best = most[last]
        for rows in range(1, min(max_rows, last + 1) + 1):
            first = last - rows + 1
            if at_s[last] + seconds[rows] > deadline_s[first]:
                continue
            ends_s = np.maximum(tables[first % (max_rows + 1), : most[first] + 1], at_s[last]) + seconds[rows]
            fits = int(np.searchsorted(ends_s, deadline_s[first], side="right"))  # free[k] rises with k
            if fits:
                reached = table[rows : rows + fits]
                np.minimum(reached, ends_s[:fits], out=reached)
                best = max(best, fits - 1 + rows)
        tables[(last + 1) % (max_rows + 1)] = table
        most.append(best)
    return most[-1]
