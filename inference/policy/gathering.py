"""Whether it is too early for the next batch: who was answered a moment ago may be about to ask again.

When a batch is answered, the next requests of the same clients arrive over the following milliseconds. The first of
them is not sent off alone: a batch has a cost a whatever its size (l(b) = a + c·b), so it pays to wait for a part of a.
Clients who do not ask again, as those of an open system, are waited for in vain: how many of the answered do is learnt,
and where less than one more row is to be expected, nothing is held.
"""

from math import inf

HOLD = 0.25  # of a batch's fixed cost: what a wait may cost at most, should nobody come
PROMPT_S = 0.002  # after an answer: who asks later is not waited for
MEMORY = 7 / 8  # of the share of those who ask again, a batch


class Gathering:
    """What one queue knows of its clients' next requests. Owned by the queue; has no clock."""

    def __init__(self) -> None:
        self.returning = 0.0  # rows answered a moment ago that were not asked again yet
        self.answered_s = -inf
        self.answered_rows = self.prompt_rows = 0  # by the last batch, and come since while it was fresh
        self.share = 1.0  # of answered rows that are asked again promptly

    def arrived(self, rows: int, now_s: float) -> None:
        if now_s - self.answered_s < PROMPT_S:
            self.prompt_rows += rows
            self.returning -= rows

    def answered(self, rows: int, now_s: float) -> None:
        """A batch was answered."""
        if self.answered_rows:
            came = min(1.0, self.prompt_rows / self.answered_rows)
            self.share = MEMORY * self.share + (1 - MEMORY) * came
        self.returning = rows + self.fading(now_s)
        self.answered_rows, self.prompt_rows, self.answered_s = rows, 0, now_s

    def fading(self, now_s: float) -> float:
        """Of the rows that were to return, how many still are: none once the last answer is no longer fresh."""
        return max(0.0, self.returning) * max(0.0, 1.0 - (now_s - self.answered_s) / PROMPT_S)

    def hold_s(
        self, waiting: int, running: int, replicas: int, max_size: int, base_s: float, free_since_s: float, now_s: float
    ) -> float:
        """How long to hold the next batch back now; 0 where a replica's share is there or not about to come.

        `base_s` is a, and no replica that is free since `free_since_s` is idle for longer than a part of it.
        """
        more = self.share * self.fading(now_s)
        if more < 1.0 or waiting >= max_size or waiting * replicas >= waiting + running + more:
            return 0.0
        return max(0.0, min(HOLD * base_s, PROMPT_S) - (now_s - free_since_s))
