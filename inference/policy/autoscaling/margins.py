"""How many more slots than the level takes: learnt from who would have been late with fewer.

Requests that come independently of each other scatter about their level by its root, so margins are counted in √level.
`Margins` plays the past on a fleet of every margin at once, and keeps for each the part of requests that would have
been late, fading. What a margin promises is thus read off, not derived from a distribution that real traffic has not.

What is played is the line of a unit: those who are late make way for those who are not yet. With c slots and services
of S seconds, c·w/S requests are done within w, so one that meets c·(1 + w/S) others is late if it waits its turn. It is
set aside, and is served once a slot has nothing else to do: when fewer than c are here besides. Of a fleet this takes
two figures a second, how many are here and the most there were (a play operator, as hysteresis is known by).

Where nobody makes way, as with timeouts so long that nobody is late by them, more are late; `Surprise` measures it.
"""

from statistics import NormalDist

from inference.policy.autoscaling.load import Load

HALF_S = 1800.0
PRIOR_S = 120.0  # of history that the normal distribution counts for
# A tenth of √level apart up to 5 of them, then each a tenth further than the one before: 10,000 √level is beyond any.
MARGINS = tuple([0.1 * (index + 1) for index in range(50)] + [5.0 * 1.1 ** (index + 1) for index in range(80)])
SURPRISE_HALF_S = 3600.0
SURPRISE_PRIOR = 5.0  # late requests, as many as expected, that were seen before any
MOST_SURPRISE = 4.0


def line_after(aside: float, here: float, peak: float, slots: float, patience: float) -> tuple[float, float]:
    """How many stay aside because they are late, of `aside` before, and how many are so newly, on a fleet of `slots`:
    `here` requests on average, `peak` at most, of whom `patience` a slot are served in time."""
    left = max(0.0, min(aside, here - slots))
    after = max(left, peak - slots * patience)
    return after, after - left


class Margins:
    """Learns from one unit's requests, in order. Deterministic; owned by the caller; has no clock.

    State is two numbers a margin. An interval costs a step for each margin that somebody would have been late with, as
    more do no less for them.
    """

    __slots__ = ("aside", "inflation", "late", "total")

    def __init__(self) -> None:
        normal = NormalDist()
        self.late = [PRIOR_S * (1.0 - normal.cdf(margin)) for margin in MARGINS]
        self.aside = [0.0] * len(MARGINS)
        self.total = PRIOR_S
        self.inflation = 1.0  # new weights grow instead of all old ones shrinking

    def fade(self, old: float) -> None:
        """All that was learnt counts `old` times as much, 0 < old ≤ 1."""
        self.inflation /= old
        if self.inflation > 1e9:
            self.late = [weight / self.inflation for weight in self.late]
            self.total /= self.inflation
            self.inflation = 1.0

    def observe(self, level: float, here: float, peak: float, arrivals: int, patience: float, weight: float) -> None:
        """An interval with `arrivals` > 0 requests that count `weight` each; the `level` > 0 and `patience` as known
        at its end."""
        weight *= self.inflation
        root = level**0.5
        aside, late = self.aside, self.late
        for index, margin in enumerate(MARGINS):
            limit = level + margin * root
            if peak <= limit and aside[index] <= 0.0:
                break
            aside[index], newly = line_after(aside[index], here, peak, limit / patience, patience)
            late[index] += weight * min(newly, arrivals)
        self.total += weight * arrivals

    def least(self, share: float) -> float:
        """The smallest margin with which no more than `share` of requests would have been late."""
        bound = share * self.total
        return next((margin for margin, late in zip(MARGINS, self.late, strict=True) if late <= bound), MARGINS[-1])


class Surprise:
    """How many times as many requests are late as `line_after` expects of the fleet that there is."""

    __slots__ = ("aside", "expected", "seen")

    def __init__(self) -> None:
        self.seen = self.expected = SURPRISE_PRIOR
        self.aside = 0.0

    def observe(self, load: Load, slots: int, patience: float, calm: bool, elapsed_s: float) -> None:
        """Learn from a sound load. While it is not `calm` the line is watched and nothing learnt: who is late while
        replicas start, or while a line is worked off, is so for want of replicas and not for how the line is kept."""
        if not load.ready:
            return
        self.aside, newly = line_after(self.aside, load.concurrency, load.peak, load.ready * slots, patience)
        old = 0.5 ** min(elapsed_s / SURPRISE_HALF_S, 100.0)
        self.seen = old * self.seen + (1.0 - old) * SURPRISE_PRIOR
        self.expected = old * self.expected + (1.0 - old) * SURPRISE_PRIOR
        if calm:
            self.seen += load.late
            self.expected += min(newly, load.arrivals)

    @property
    def ratio(self) -> float:
        """1 to MOST_SURPRISE. That fewer are late than expected is no reason to promise less."""
        return min(max(self.seen / self.expected, 1.0), MOST_SURPRISE)
