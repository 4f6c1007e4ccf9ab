"""How many requests will be here at once, by the time a replica that is asked for now can take work.

Requests come independently of each other, so their number scatters about its level by the square root of it, more where
they come in clumps. `Forecast` learns both from the past alone: the level as a fading mean, and with `Margins` how far
above it a fleet has to be so that no more than a share of requests are late.

A request that meets n others is served within wait w if n ≤ c·(1 + w/S) for c slots and mean service S, because c·w/S
of them are done by then. So short services need hardly a slot more than they fill, and long ones a slot each.

Where replicas are too few, those who wait pile up, and their number says how long this has lasted, not how much comes.
Then what would be here with slots for all stands in for it: `offered`, arrivals that leave after S on average.

State is a few hundred numbers, whatever the traffic. An observation costs 12 µs where peaks stay near the level, 30 µs
where they reach far above it; a question 3 µs.
"""

from math import exp, sqrt

from inference.policy.autoscaling.load import Load
from inference.policy.autoscaling.margins import HALF_S, Margins

SERVICE_HALF_S = 300.0  # after which what was learnt of service times counts half
MOST_HALF_S = 7200.0
LEAST_LEVEL = 0.25  # one request in four seconds of one second each: below it, √level would make anything an outlier
BREATH = 1.0  # of √level beyond the level (square-root staffing): with fewer slots a line hardly shrinks
RECENT_HALF_S = 10.0
JUMP = 4.0  # of √level that the recent mean may be above the level
LIKELY = 4.0  # standard deviations of Poisson traffic: half of what a clump of ten looks like
STRAIN_SERVICES = 3.0  # after so many service times, those who waited too long are served
SHORTEST_S = 1e-6  # by which anything is divided: shorter times are rounding
LONGEST_GAP = 8.0  # half-lives: after a longer silence nothing is known any more than after this


class Forecast:
    """Learns from one unit's `Load`s, in order. Deterministic; owned by the caller; has no clock."""

    __slots__ = (
        "arrivals", "finished", "known", "level_half_s", "level_sum", "margins", "most", "offered", "recent",
        "service_s", "strained_s",
    )  # fmt: skip

    def __init__(self, level_half_s: float = 60.0):
        self.level_half_s = level_half_s
        self.level_sum = self.known = 0.0  # level_sum / known is the level; known rises from 0 to 1
        self.finished = self.service_s = 0.0
        self.arrivals = 0.0  # a second, fading; over `known` it is the mean
        self.offered = self.recent = 0.0
        self.strained_s = 0.0  # for so long what is here may still be left from a backlog
        self.most = 0.0  # that was here at once, fading
        self.margins = Margins()

    @property
    def level(self) -> float:
        """Requests here at once, on average."""
        return self.level_sum / self.known if self.known else 0.0

    @property
    def service_mean_s(self) -> float:
        """0 while no request has finished."""
        return self.service_s / self.finished if self.finished > 1e-9 else 0.0

    def observe(self, load: Load, wait_s: float, elapsed_s: float) -> None:
        """Learn from a sound load of the `elapsed_s` > 0 seconds that ended now; `wait_s` is the
        longest that a request should wait."""
        old = 0.5 ** min(elapsed_s / SERVICE_HALF_S, LONGEST_GAP)
        self.service_s = old * self.service_s + load.service_s
        self.finished = old * self.finished + load.finished
        excess = self.backlog(load, wait_s, elapsed_s)
        here = load.concurrency - excess
        keep = 0.5 ** min(elapsed_s / RECENT_HALF_S, LONGEST_GAP)
        self.recent = keep * self.recent + (1.0 - keep) * here
        keep = 0.5 ** min(elapsed_s / self.level_half_s, LONGEST_GAP)
        self.level_sum = keep * self.level_sum + (1.0 - keep) * here
        self.arrivals = keep * self.arrivals + (1.0 - keep) * load.arrivals / elapsed_s
        self.known = keep * self.known + 1.0 - keep
        level = max(self.level, LEAST_LEVEL)
        if self.recent > level + JUMP * sqrt(level):  # that is not chance: the level itself has risen
            self.level_sum = self.recent * self.known
        self.most = max(self.most * 0.5 ** min(elapsed_s / MOST_HALF_S, LONGEST_GAP), load.peak - excess)
        self.margins.fade(0.5 ** min(elapsed_s / HALF_S, LONGEST_GAP))
        if load.arrivals and self.known >= 0.5:  # before, the level itself is a guess
            # Seconds, not requests, so that what was learnt at a low level is not drowned by a high one.
            weight = self.known / max(self.arrivals, 1e-9)
            level = max(self.level, LEAST_LEVEL)
            self.margins.observe(level, here, load.peak - excess, load.arrivals, self.patience(wait_s), weight)

    def patience(self, wait_s: float) -> float:
        """Requests a slot that are served in time: the one in it, and those whose turn comes within `wait_s`."""
        service_s = self.service_mean_s
        return 1.0 + wait_s / max(service_s, SHORTEST_S) if service_s > 0.0 else 1.0

    def backlog(self, load: Load, wait_s: float, elapsed_s: float) -> float:
        """How many are here only because replicas were too few: while requests wait too long, and until those that did
        are served, whatever is beyond what chance explains."""
        service_s = self.service_mean_s
        if service_s <= 0.0:
            return 0.0
        self.offered = self.offered * exp(-elapsed_s / service_s) + load.arrivals
        if load.oldest_wait_s > wait_s:
            self.strained_s = STRAIN_SERVICES * service_s
        elif self.strained_s > 0.0:
            self.strained_s -= elapsed_s
        else:
            return 0.0
        return max(0.0, load.concurrency - self.offered - LIKELY * sqrt(self.offered))

    def slots_needed(self, share: float, wait_s: float) -> tuple[float, dict[str, float | str]]:
        """Slots with which no more than `share` of requests wait longer than `wait_s`, and the figures behind it."""
        level = max(self.level, LEAST_LEVEL)
        margin = self.margins.least(share)
        # What a jump taught at one level says too much at another: nobody met more than the most that was ever here.
        likely = max(self.most, level + LIKELY * sqrt(level))
        met = min(level + margin * sqrt(level), likely)
        slots = max(met / self.patience(wait_s), self.level + BREATH * sqrt(self.level))
        facts: dict[str, float | str] = {
            "level": self.level, "margin": margin, "met": met, "service_s": self.service_mean_s, "slots": slots,
            "share": share,
        }  # fmt: skip
        return slots, facts


class Pulse:
    """What comes right now: the fast mean of arrivals, for bursts that a level sees too late."""

    __slots__ = ("half_s", "known", "rate_sum")

    def __init__(self, half_s: float = 3.0):
        self.half_s = half_s
        self.rate_sum = self.known = 0.0

    def observe(self, load: Load, elapsed_s: float) -> None:
        keep = 0.5 ** min(elapsed_s / self.half_s, LONGEST_GAP)
        self.rate_sum = keep * self.rate_sum + (1.0 - keep) * load.arrivals / elapsed_s
        self.known = keep * self.known + 1.0 - keep

    def slots_needed(self, load: Load, service_s: float, clear_s: float) -> float:
        """Slots that the rate of the last seconds fills, and that clear what waits within `clear_s` besides.

        Without a service time yet, every request that is here needs its own slot.
        """
        if not self.known or service_s <= 0.0 or clear_s <= 0.0:
            return load.concurrency
        return self.rate_sum / self.known * service_s + load.waiting * service_s / max(clear_s, SHORTEST_S)
