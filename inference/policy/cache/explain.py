"""Why a key is in the cache, or is not: words for people, from what the cache knows and without changing it."""

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from msgspec import Struct

from inference.policy.cache.adaptive import Adaptive
from inference.policy.cache.store import Cache, Left


class Explanation(Struct, frozen=True):
    state: str  # kept, stale, evicted, expired, replaced, removed, unknown
    reason: str
    ahead: int | None = None  # residents that would leave before it, where it is kept


class Promise(Struct, frozen=True):
    """What more or less room would bring."""

    size: int  # entries
    hit_ratio: float
    points: float  # of 100 over the size of now


def explain(cache: Cache[Any], key: int, now_s: float) -> Explanation:
    """Walks over the residents, so it is for someone who asks, not for each request."""
    entry = cache.entries.get(key)
    if entry is None:
        return explain_absence(cache, key, now_s)
    age_s = now_s - entry.stored_s
    if entry.expires_s <= now_s:
        return Explanation("stale", f"stored {age_s:.1f} s ago, its time was over {now_s - entry.expires_s:.1f} s ago")
    ahead = sum(1 for _ in takewhile(lambda other: other != key, cache.strategy))
    reason = (
        f"stored {age_s:.1f} s ago, asked for {times(entry.hits)} since; {ahead} of {len(cache)} would leave before it "
        f"({cache.strategy.rule}); fresh for another {entry.expires_s - now_s:.1f} s"
    )
    return Explanation("kept", reason, ahead)


def explain_absence(cache: Cache[Any], key: int, now_s: float) -> Explanation:
    gone = cache.last_departure(key)
    if gone is None:
        return Explanation("unknown", f"not stored, and not among the last {len(cache.departed)} that left")
    stayed_s, since_s = gone.at_s - gone.entry.stored_s, now_s - gone.at_s
    story = f"left {since_s:.1f} s ago after {stayed_s:.1f} s, asked for {times(gone.entry.hits)}"
    because = {
        Left.EVICTED: f"made room for {gone.incoming:x}: {gone.rule}",
        Left.EXPIRED: "its time to live was over",
        Left.REPLACED: "a newer answer took its place, or was refused after it",
        Left.REMOVED: "it was purged",
    }[gone.why]
    return Explanation(gone.why.value, f"{story}; {because}")


def explain_strategy(cache: Cache[Any]) -> list[str]:
    """Which strategy decides, then each move that led there, the last one first."""
    strategy = cache.strategy
    told = [strategy.rule]
    if isinstance(strategy, Adaptive):
        told += [
            f"from {move.before} to {move.after} after {move.sampled} requests of the sample, one key in "
            f"{round(1 / move.rate)}: it would have hit {move.lead:.0f} more of them, "
            f"{move.lead / move.deviation:.1f} standard deviations"
            for move in reversed(strategy.moves)
        ]
    return told


def times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def promise(points: Mapping[int, float], now: int) -> list[Promise]:
    """What each size of a curve, entries → hit ratio, would bring over the size `now`, which must be one of them."""
    return [Promise(size, ratio, 100.0 * (ratio - points[now])) for size, ratio in sorted(points.items())]
