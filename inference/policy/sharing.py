"""How the replicas of a unit share what there is to do: rows of the next batch, and whether it is too early for it.

A replica that takes all that waits leaves its twin idle; one that takes its share of what waits now may still leave the
twin with one row and take fifteen, and then both come back with as many, for ever. So the share is of all rows, those
that run included: what a replica leaves waits for the other, which comes free meanwhile, and finishes sooner.

When a batch is answered, the next requests of the same clients arrive over the following milliseconds. The first of
them is not sent off alone: a batch has a cost a whatever its size (l(b) = a + c·b), so it pays to wait for a part of a.
"""

GATHER = 0.25  # of a batch's fixed cost: what a wait may cost at most, should nobody come
GATHER_MOST_S = 0.002


def fair_rows(waiting: int, running: int, free: int, replicas: int, max_size: int) -> int:
    """Rows of the next batch, `waiting` of them at most: an equal share for each free replica, and of all rows."""
    share = -(-waiting // free)
    fair = -(-(waiting + running) // replicas)
    return max(1, min(share, fair, max_size))


def gather_limit_s(base_s: float) -> float:
    """How long a replica may stay idle for its share to come in. `base_s` is a."""
    return min(GATHER * base_s, GATHER_MOST_S)


def fading_rows(rows: float, age_s: float) -> float:
    """Of rows whose clients were about to ask again `age_s` ago, how many still are: none after the longest wait."""
    return max(0.0, rows) * max(0.0, 1.0 - age_s / GATHER_MOST_S)


def gather_s(waiting: int, coming: float, replicas: int, max_size: int, left_s: float) -> float:
    """How long to hold a replica's batch back now; 0 where its share is there.

    `coming` are rows that run, or were answered a moment ago and whose clients did not ask again yet; `left_s` is what
    is left of the limit, which began when this replica came free. So none is idle for longer, whatever the others do.
    """
    if waiting >= max_size or waiting * replicas >= waiting + coming:
        return 0.0
    return max(0.0, left_s)
