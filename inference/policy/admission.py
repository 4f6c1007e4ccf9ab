"""Refuse before it is late: when would a request be answered that joins the queue now?

    start  = when the next replica is free + batches ahead · l(B) / replicas
    finish = start + l(its batch)

l is learned (`batching.LatencyModel`), B is a full batch, and "ahead" counts what is more urgent or due earlier. More
urgent work that has not arrived yet will go ahead too: a level sees only the part of the replicas that the levels above
it leave, by the rate at which they have been arriving. A request that would miss its deadline is told so at once and
can go elsewhere, instead of being told by a timeout.

Nobody is refused on a guess: a model that knows nothing, or has heard nothing for long, answers "now".
"""

from bisect import bisect_left, insort
from math import inf, sqrt

from inference.policy.batching import PRIORITY_LEVELS, LatencyModel

TRUST_S = 2.0  # a model that heard nothing for so long, and for ten full batches, may be wrong and never learn it
LEVELS = PRIORITY_LEVELS + 1  # 1 … 5; there is no level 0
RATE_BATCHES = 20.0  # arrivals are averaged over about the time of so many full batches
PACKED_SHARE = 0.05  # what one batch says about how full batches get
LEAST_SHARE = 0.05  # of the replicas that any level is believed to get, however much comes above it
SHORTEST_S = 1e-6  # over which demand is counted: over less a rate is a quotient of rounding errors
SOON_BATCHES = 100.0  # the shortest deadlines are remembered for the time of so many full batches, up to twice
SPARE = 0.5  # of the capacity: while less than this arrives, replicas have time for a try that may come too late
WORTH = 100.0  # rows that one more urgent row may cost: a few urgent requests don't take a level's throughput


class Admission:
    """What is known of replicas and demand. Owned by a queue; has no clock. `now_s` may go back: no time passed."""

    __slots__ = (
        "arrived", "counted", "counted_at_s", "ends", "full_s", "idles", "in_order", "max_rows", "model", "packed",
        "shares", "slots", "soonest_lately_s", "soonest_s", "soonest_since_s", "span_s", "trusted_until_s", "upto",
    )  # fmt: skip

    def __init__(self, model: LatencyModel, max_rows: int):
        self.model = model
        self.max_rows = max_rows
        self.slots = 0  # replicas that take work
        self.ends: dict[object, float] = {}  # of the batches at work, as predicted
        self.in_order: list[float] = []  # the same, ascending
        self.packed = float(max_rows)  # rows of a batch taken from more than it could hold: they rarely fit exactly
        self.full_s = 0.0  # l(packed)
        self.trusted_until_s = -inf  # if nothing is heard before
        self.arrived = [0] * LEVELS  # rows by level since `counted_at_s`, refused ones too
        self.counted_at_s = -inf
        self.counted = [0.0] * LEVELS  # rows of the time before that, fading
        self.span_s = 0.0  # the time they came in, fading alike
        self.upto = [0.0] * LEVELS  # rows/s of a level and all above it
        self.idles = True  # so little arrives that a try which may come too late costs nobody else
        self.shares = [1.0] * LEVELS  # of the replicas that the levels above leave to a level
        # The shortest time that anybody of a level gave us: in this period and the one before, and in this one.
        self.soonest_s, self.soonest_lately_s = [inf] * LEVELS, [inf] * LEVELS
        self.soonest_since_s = -inf  # when it began

    # What happens

    def note_arrival(self, level: int, rows: int, left_s: float) -> None:
        """A request came, whether it may wait or not, with so much time until its deadline."""
        self.arrived[level] += rows
        # What nobody could do in time shortens nobody's batch.
        if self.soonest_lately_s[level] > left_s > self.model.bound_s(rows):
            self.soonest_lately_s[level] = left_s
            self.soonest_s[level] = min(self.soonest_s[level], left_s)

    def batch_started(self, batch: object, rows: int, now_s: float, behind: object = None) -> None:
        """`behind`: the batch at work on the same replica, where this one was sent ahead."""
        end_s = max(now_s, self.ends.get(behind, now_s)) + self.model.predict_s(rows)
        self.ends[batch] = end_s
        insort(self.in_order, end_s)

    def batch_ended(self, batch: object, rows: int, seconds: float, now_s: float) -> None:
        """It was answered: learn from it, and count demand anew."""
        self.batch_lost(batch)
        self.model.observe(rows, seconds)
        self.full_s = self.model.predict_s(int(self.packed))
        self.trusted_until_s = now_s + max(TRUST_S, 10.0 * self.full_s)
        self.count_demand(now_s)

    def note_packed(self, rows: int) -> None:
        """A batch had so many rows although more waited than it could hold."""
        self.packed += PACKED_SHARE * (min(rows, self.max_rows) - self.packed)

    def batch_lost(self, batch: object) -> None:
        """Its replica is gone; nothing is learned."""
        end_s = self.ends.pop(batch, None)
        if end_s is not None:
            del self.in_order[bisect_left(self.in_order, end_s)]

    def count_demand(self, now_s: float) -> None:
        if self.counted_at_s == -inf or now_s < self.counted_at_s:
            self.counted_at_s = now_s
        elapsed_s = now_s - self.counted_at_s
        if elapsed_s < max(self.full_s, SHORTEST_S):
            return
        memory = max(0.0, 1.0 - elapsed_s / (RATE_BATCHES * self.full_s)) if self.full_s > 0.0 else 0.0
        self.span_s = self.span_s * memory + elapsed_s
        above, capacity = 0.0, self.capacity
        for level in range(1, LEVELS):
            self.shares[level] = max(LEAST_SHARE, 1.0 - above / capacity) if capacity < inf else 1.0
            self.counted[level] = self.counted[level] * memory + self.arrived[level]
            self.arrived[level] = 0
            above += self.counted[level] / self.span_s
            self.upto[level] = above
        self.idles = above < SPARE * capacity
        self.counted_at_s = now_s
        if not 0.0 <= now_s - self.soonest_since_s <= SOON_BATCHES * self.full_s:
            self.soonest_s, self.soonest_lately_s = self.soonest_lately_s, [inf] * LEVELS
            self.soonest_since_s = now_s

    # What is so

    @property
    def demand(self) -> float:
        """Rows a second that have been arriving, refused ones too."""
        return self.upto[-1]

    @property
    def capacity(self) -> float:
        """Rows a second at full batches; infinite while nothing is known."""
        return self.slots * self.packed / self.full_s if self.full_s > 0.0 and self.slots else inf

    def net_rows(self, rows: float) -> float:
        """What a batch of so many rows brings: its rows, less those that are lost while it runs because a replica does
        nothing else, which are what arrives for it in that time or what full batches would have served of it."""
        price = min(self.demand, self.capacity) / self.slots if self.slots else 0.0
        return rows - price * self.model.predict_s(int(rows))

    def trusted(self, now_s: float) -> bool:
        return now_s < self.trusted_until_s

    def wait_s(self, level: int, rows_ahead: int, now_s: float) -> float:
        """How long until a replica takes up a request of `level` behind so many rows; 0 where one could now, and
        while there is no replica, for then nobody knows."""
        slots = self.slots
        if not slots:
            return 0.0
        # It starts when so many batches have ended: first those at work, then those that idle replicas take at once,
        # then, a round later each, those that follow in the same order.
        running = len(self.in_order)
        place, rounds = int(rows_ahead / self.packed) + running - slots, 0
        if place < 0:
            return 0.0
        beyond = place - max(running, slots)
        if beyond >= 0:
            rounds = beyond // slots + 1
            place -= rounds * slots
        # An overdue batch may well be as late again.
        until_s = abs(self.in_order[place] - now_s) if place < running else self.full_s
        return (until_s + rounds * self.full_s) / self.shares[level]

    def answer_s(self, level: int, rows_ahead: int, rows: int, now_s: float) -> tuple[float, float]:
        """Seconds until its batch starts, and until it is answered: but for one in a thousand, or as predicted while
        replicas have time for a try. Those of its level and above who come until the start join its batch; others do
        only where it bears them."""
        together, uncertain_s = rows_ahead % self.max_rows + rows, 0.0
        wait_s = self.wait_s(level, rows_ahead, now_s)
        if wait_s > 0.0:
            together += int(self.upto[level] * wait_s / self.slots)
        together = max(rows, min(together, self.max_rows))
        if self.idles:
            return wait_s, wait_s + self.model.predict_s(together)
        if wait_s > 0.0:
            # Errors of the batches before it are independent, so they add up by their squares; its own comes on top,
            # as a replica is only given what is within its bound.
            uncertain_s = self.model.margin * sqrt(wait_s * self.full_s)
            if level > 1 and (urgent := self.upto[level - 1] * wait_s) > 0.0:
                uncertain_s += 3.0 * sqrt(urgent) * self.full_s / self.packed / self.slots
        return wait_s, wait_s + uncertain_s + self.model.bound_s(together)

    def rows_for(self, level: int, limit: int) -> int:
        """The most rows of a batch of `level` that leaves time for more urgent work: what of it arrives while the batch
        runs, give or take, must be done within the shortest time that such work has given us lately. At least 1, and
        `limit` where so short batches would cost too much for the little urgent work there is."""
        soonest_s = min(self.soonest_s[1:level], default=inf)
        if soonest_s == inf or not self.slots:
            return limit
        urgent = self.upto[level - 1] * self.full_s / self.slots
        urgent_rows = min(self.max_rows, int(urgent + 3.0 * sqrt(urgent)) + 1)
        within = self.model.rows_within(soonest_s - self.model.bound_s(urgent_rows))
        if within >= limit:
            return limit
        rows = max(1, int(within))
        lost = min(self.demand, self.capacity) - self.slots * rows / self.model.predict_s(rows)
        return rows if lost <= WORTH * self.upto[level - 1] else limit
