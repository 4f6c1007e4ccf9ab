"""How the replicas of a unit share what there is to do: the rows of the next batch.

A replica that takes all that waits leaves its twin idle; one that takes its share of what waits now may still leave the
twin with one row and take fifteen, and then both come back with as many, for ever. So the share is of all rows, those
that run included: what a replica leaves waits for the other, which comes free meanwhile, and finishes sooner.

A large batch is a long one, and whoever arrives during it waits for its end. So none is larger than what keeps up with
the traffic, with room to spare, unless a part of the line as large is every replica's share.
"""

from math import ceil, exp, inf

HEADROOM = 1.6  # batches are large enough for so many times the traffic. Less, and lines build up; more, and waits do
WINDOW_S, MEMORY_S = 0.25, 2.0  # arrivals are counted for so long, and count for so long
ANY = 2**31


def fair_rows(waiting: int, running: int, free: int, replicas: int, max_size: int, enough: int = ANY) -> int:
    """Rows of the next batch, `waiting` of them at most: an equal share for each free replica, and of all rows.

    `enough` rows keep up with the traffic, see `sustaining_rows`.
    """
    share = -(-waiting // free)
    fair = -(-(waiting + running) // replicas)
    return max(1, min(share, fair, max_size, max(enough, -(-waiting // replicas))))


def sustaining_rows(rows_per_s: float, base_s: float, row_s: float, replicas: int, max_size: int) -> int:
    """The smallest batch with which the replicas do HEADROOM times what arrives; `max_size` where none does.

    A batch takes l(b) = a + c·b, so that n of them at once do n·b/(a + c·b) rows a second, which is r from
    b = r·a/(n - r·c) on.
    """
    wanted = HEADROOM * rows_per_s
    spare = replicas - wanted * row_s
    if wanted == inf or spare <= 0.0 or wanted * base_s >= max_size * spare:
        return max_size
    return max(1, ceil(wanted * base_s / spare))


class ArrivalRate:
    """Rows a second that arrive at a queue, of which older ones fade. Owned by the queue; has no clock."""

    def __init__(self) -> None:
        self.rows_per_s = inf  # nothing is known: any batch may be too small
        self.rows = 0  # that had arrived at since_s
        self.since_s = -inf

    def read(self, rows: int, now_s: float) -> float:
        """`rows` are all that ever arrived."""
        age_s = now_s - self.since_s
        if age_s < WINDOW_S:
            return self.rows_per_s
        if self.since_s > -inf:
            rate, old = (rows - self.rows) / age_s, self.rows_per_s
            self.rows_per_s = rate if old == inf else rate + (old - rate) * exp(-age_s / MEMORY_S)
        self.rows, self.since_s = rows, now_s
        return self.rows_per_s
