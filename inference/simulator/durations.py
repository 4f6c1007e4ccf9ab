"""How long things take: cold starts, services, executors. Chance is passed in."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Protocol

# How long the base models of a production image service took to load, at these parts of all loads: measured quantiles
# of 7,531 loads in Alibaba's GenTD26 (2026).
GENTD26_LOAD_S = (
    (0.0, 1.33), (0.01, 1.53), (0.05, 2.29), (0.1, 2.63), (0.25, 3.14), (0.5, 22.72), (0.75, 36.92), (0.9, 41.99),
    (0.95, 45.45), (0.99, 51.85), (0.999, 57.91), (1.0, 79.44),
)  # fmt: skip
LEAST_S = 1e-9  # of a batch of one row


class Duration(Protocol):
    def draw_s(self, chance: Random) -> float: ...


@dataclass(frozen=True)
class Constant:
    seconds: float

    def draw_s(self, chance: Random) -> float:
        return self.seconds


class Quantiles:
    """A distribution through measured quantiles: (part of all, seconds) from part 0 to part 1, straight in between.

    Raises ValueError for points that do not rise from 0 to 1, or seconds that are negative, infinite or fall.
    """

    def __init__(self, points: Sequence[tuple[float, float]]):
        self.parts = [part for part, _ in points]
        self.seconds = [seconds for _, seconds in points]
        rising = all(a < b for a, b in zip(self.parts, self.parts[1:], strict=False))
        steady = all(a <= b for a, b in zip(self.seconds, self.seconds[1:], strict=False))
        if len(points) < 2 or (self.parts[0], self.parts[-1]) != (0.0, 1.0) or not rising or not steady:
            raise ValueError("Quantiles must rise from part 0 to part 1, and their seconds must not fall.")
        if not 0.0 <= self.seconds[0] <= self.seconds[-1] < inf:
            raise ValueError("A duration cannot be negative or infinite.")

    def at(self, part: float) -> float:
        """Seconds at `part` of all, in [0, 1]."""
        place = min(bisect_right(self.parts, part), len(self.parts) - 1)
        low, high = self.parts[place - 1], self.parts[place]
        weight = (part - low) / (high - low)
        return self.seconds[place - 1] + weight * (self.seconds[place] - self.seconds[place - 1])

    def draw_s(self, chance: Random) -> float:
        return self.at(chance.random())


def quantiles_of(values_s: Iterable[float], points: int = 101) -> Quantiles:
    """The distribution of measured values, at `points` even parts. Raises ValueError without values, or for fewer than
    two points."""
    ordered = sorted(values_s)
    if not ordered or points < 2:
        raise ValueError(f"No durations were given, or too few points: {len(ordered)} at {points}.")
    last = points - 1
    return Quantiles([(i / last, ordered[round(i / last * (len(ordered) - 1))]) for i in range(points)])


@dataclass(frozen=True)
class Executor:
    """A replica's device: a batch of b rows takes l(b) = base_s + row_s·b.

    `noise` is the standard deviation of the logarithm of a factor of mean 1; one batch in `1 / hiccup_chance` takes
    `hiccup_factor` times as long besides (a garbage collection, a neighbour). Raises ValueError unless both times are
    finite, neither is negative, and one row takes a nanosecond at least.
    """

    base_s: float
    row_s: float
    noise: float = 0.0
    hiccup_chance: float = 0.0
    hiccup_factor: float = 1.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.base_s < inf and 0.0 <= self.row_s < inf and self.mean_s(1) >= LEAST_S):
            raise ValueError(f"A batch cannot take {self.base_s} s and {self.row_s} s a row.")

    def mean_s(self, rows: float) -> float:
        """l(rows), without noise."""
        return self.base_s + self.row_s * rows

    def run_s(self, rows: float, chance: Random) -> float:
        """How long this batch takes."""
        seconds = self.mean_s(rows)
        if self.noise:
            seconds *= chance.lognormvariate(-0.5 * self.noise * self.noise, self.noise)
        if self.hiccup_chance and chance.random() < self.hiccup_chance:
            seconds *= self.hiccup_factor
        return seconds

    def rows_per_s(self, rows: int) -> float:
        """Throughput of one replica at full batches of `rows`."""
        return rows / self.mean_s(rows)
