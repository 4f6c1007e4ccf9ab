"""How the replicas of a unit share what there is to do: the rows of the next batch.

A replica that takes all that waits leaves its twin idle; one that takes its share of what waits now may still leave the
twin with one row and take fifteen, and then both come back with as many, for ever. So the share is of all rows, those
that run included: what a replica leaves waits for the other, which comes free meanwhile, and finishes sooner.
"""


def fair_rows(waiting: int, running: int, free: int, replicas: int, max_size: int) -> int:
    """Rows of the next batch, `waiting` of them at most: an equal share for each free replica, and of all rows."""
    share = -(-waiting // free)
    fair = -(-(waiting + running) // replicas)
    return max(1, min(share, fair, max_size))
