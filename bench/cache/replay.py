"""One trace through one strategy, and how long that took."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from inference.policy.cache.registry import make_strategy
from inference.policy.cache.shadow import Shadow


@dataclass(frozen=True)
class Figures:
    """Of one strategy at one capacity. `hit_ratio` is None where nothing was asked for."""

    strategy: str
    capacity: int
    requests: int
    hit_ratio: float | None
    request_ns: float | None = None  # processor time of look-up, eviction and insertion together; None where unknown


def replay(keys: Sequence[int], strategy: str, capacity: int) -> Figures:
    """Nothing is left out for warming up. With capacity 0 nothing hits. Raises ValueError for an unknown strategy."""
    shadow = Shadow(make_strategy(strategy))
    started = time.process_time_ns()
    hits = shadow.replay(keys, capacity)
    spent_ns = time.process_time_ns() - started
    if not keys:
        return Figures(strategy, capacity, 0, None)
    return Figures(strategy, capacity, len(keys), hits / len(keys), spent_ns / len(keys))
