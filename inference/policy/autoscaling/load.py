"""What a scaling decision may look at, and what it answers. Facts only, all of the past."""

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

LARGEST = 1e12  # of any reading: a unit that serves a million a second for 11 days, or a wait of 31,000 years


class Load(Struct, frozen=True):
    """One unit of one version, over the interval since the last decision. Requests, replicas, seconds."""

    ready: int = 0  # replicas that take work
    starting: int = 0
    concurrency: float = 0.0  # requests here, waiting or at work: mean over the interval
    peak: float = 0.0  # and the most at any time in it
    waiting: int = 0  # at its end
    oldest_wait_s: float = 0.0  # of the first in line, at its end
    arrivals: int = 0
    late: int = 0  # whose wait grew longer than the policy's `wait_s` in the interval
    finished: int = 0
    service_s: float = 0.0  # time in a slot, all finished ones together
    busy: float | None = None  # part of replica time spent in the model, 0 to 1; None: not measured
    gpu: float | None = None  # use of the devices, 0 to 1
    cold_start_s: float = 30.0  # from asking for a replica until it takes work: the slow end of what was measured

    @property
    def replicas(self) -> int:
        return self.ready + self.starting


class Rule(str, Enum):
    """What moved the number of replicas, in the order in which rules are asked."""

    FIXED = "fixed"
    SIGNAL = "signal"  # the policy's signal; facts say which figures
    BURST = "burst"  # work waits, and more comes than all replicas together can take
    WAKE = "wake"  # somebody came while there was no replica
    IDLE = "idle"  # nobody came for a long time
    SPARE = "spare"
    BOUNDS = "bounds"  # min_replicas, max_replicas
    STEADY = "steady"  # down only once less was enough for a while; one change of direction a cold start
    UNKNOWN = "unknown"  # no reading, or one that cannot be: everything stays as it is


class Step(Struct, frozen=True):
    """A rule's answer: so many replicas, because of these figures."""

    rule: Rule
    replicas: int
    facts: Mapping[str, float | str] = {}


class Decision(Struct, frozen=True):
    """How many replicas there should be, and how that came about: each step starts from the one before it."""

    replicas: int
    steps: tuple[Step, ...]


def is_sound(load: Load) -> bool:
    """Whether every reading is a number from 0 to LARGEST. None counts as sound: not measured."""
    readings = (
        load.ready, load.starting, load.concurrency, load.peak, load.waiting, load.oldest_wait_s, load.arrivals,
        load.late, load.finished, load.service_s, load.cold_start_s, load.busy or 0.0, load.gpu or 0.0,
    )  # fmt: skip
    return all(0.0 <= reading <= LARGEST for reading in readings)
