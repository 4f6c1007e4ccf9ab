"""The control's quantiles, frozen before a step as the thresholds of the latency test.

Frozen means: made of what was known before the first answer that is judged by them. Nothing else about them matters for
the validity of the test; how well they fit decides how fast it is.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from inference.sketch import GAMMA, value_of

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
ENOUGH = 1000  # control latencies; with fewer the 0.99 quantile rests on less than ten


class Thresholds(Struct, frozen=True):
    """`at_s` rises strictly; `above[i]` is the control's share beyond `at_s[i]`, in (0, 1)."""

    at_s: tuple[float, ...]
    above: tuple[float, ...]
    seen: int  # control latencies they rest on; 0 where that was not kept

    def only(self, quantile: float) -> "Thresholds":
        """The one threshold that is nearest to this quantile of the control."""
        place = min(range(len(self.above)), key=lambda place: abs(self.above[place] - (1.0 - quantile)))
        return Thresholds(self.at_s[place : place + 1], self.above[place : place + 1], self.seen)


def freeze(
    latencies_s: Sequence[float], quantiles: Sequence[float] = QUANTILES, enough: int = ENOUGH
) -> Thresholds | None:
    """Thresholds from single latencies, without NaN and values under 0. None with fewer than `enough` (at least 1)."""
    values = sorted(value for value in latencies_s if value >= 0.0)
    if len(values) < max(1, enough):
        return None
    at_s = sorted({values[rank(q, len(values))] for q in quantiles})
    below = [sum(value <= edge for value in values) for edge in at_s]
    return thresholds(at_s, below, len(values))


def freeze_sketch(
    bins: Mapping[int, int], quantiles: Sequence[float] = QUANTILES, enough: int = ENOUGH
) -> Thresholds | None:
    """Thresholds from a merged latency sketch; each lies on the upper edge of a bin. None with fewer than `enough`."""
    total = sum(bins.values())
    if total < max(1, enough):
        return None
    at_s, below, seen = [], [], 0
    wanted = [rank(q, total) for q in sorted(quantiles)]
    for place in sorted(bins):
        before, seen = seen, seen + bins[place]
        if any(before <= index < seen for index in wanted):
            at_s.append(upper_edge_s(place))
            below.append(seen)
    return thresholds(at_s, below, total)


def of_quantiles(at_s: Sequence[float], quantiles: Sequence[float] = QUANTILES) -> Thresholds:
    """Thresholds of which only the values are kept, such as in a document. Equal values are one threshold.

    Raises ValueError for none, for NaN, and where the values fall.
    """
    above: dict[float, float] = {}
    for value, quantile in zip(at_s, quantiles, strict=True):
        above[value] = 1.0 - quantile  # of equal values the highest quantile says how many are beyond
    if not above or not all(low < high for low, high in pairwise(above)) or not all(map(math.isfinite, above)):
        raise ValueError(f"Quantiles rise, are finite, and there is at least one; got {tuple(at_s)}.")
    return Thresholds(tuple(above), tuple(above.values()), 0)


def rank(quantile: float, count: int) -> int:
    """Index of the nearest-rank quantile in `count` sorted values."""
    return min(count - 1, max(0, math.ceil(quantile * count) - 1))


def thresholds(at_s: Sequence[float], below: Sequence[int], total: int) -> Thresholds:
    """`above` is estimated with half a latency on either side, so no share is 0 or 1. Raises ValueError for none."""
    if not at_s:
        raise ValueError("Freeze at least one quantile; without a threshold latencies cannot be told apart.")
    above = tuple((total - count + 0.5) / (total + 1.0) for count in below)
    return Thresholds(tuple(at_s), above, total)


def upper_edge_s(place: int) -> float:
    return value_of(place) * (GAMMA + 1.0) / 2.0
