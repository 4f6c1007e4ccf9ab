"""Whether a queue only absorbs a burst or stands: a wait that serves nobody.

After CoDel (Nichols and Jacobson, 2012) in the form that servers use (Maurer, "Fail at Scale", 2015): a good queue
empties, or lets somebody through quickly, once in a while; one that has not for a whole interval stands. While it
stands, a request may wait only the short target. Throughput loses nothing, as replicas stay busy either way, and those
who are answered are answered soon.

Deadlines alone cannot do that: where clients allow 30 s, a standing queue makes all of them wait for 30 s.
"""

from math import inf

INTERVALS = 10.0  # targets long: how long without one good moment makes a queue stand


class Codel:
    """Owned by a queue; `now_s` may go back, which is taken for no time passing."""

    __slots__ = ("good_at_s", "interval_s", "target_s")

    def __init__(self, target_s: float):
        """`target_s`: what a wait should be; 0, negative or no number: it never stands."""
        self.target_s = target_s if target_s > 0.0 else inf
        self.interval_s = INTERVALS * self.target_s
        self.good_at_s = -inf  # the first moment ever counts as good; see `stands`

    def passed(self, waited_s: float, now_s: float) -> None:
        """A request of the least urgent kind left the queue for a replica after so long."""
        # While it stands, waits are held at the target: only one well below it says that demand has fallen.
        if waited_s < (0.5 * self.target_s if self.stands(now_s) else self.target_s):
            self.good_at_s = now_s

    def emptied(self, now_s: float) -> None:
        self.good_at_s = now_s

    def stands(self, now_s: float) -> bool:
        if self.good_at_s == -inf or now_s < self.good_at_s:
            self.good_at_s = now_s
        return now_s - self.good_at_s > self.interval_s

    def wait_limit_s(self, now_s: float) -> float:
        """How long a request may wait now; infinite while the queue does not stand."""
        return self.target_s if self.stands(now_s) else inf
