"""Whether an answer is worth a place at all, by its size and by what it would cost to compute again."""

from typing import Annotated

from msgspec import Meta, Struct

MIB = 1024 * 1024


class Admission(Struct, frozen=True):
    """What is let in. The default only keeps out what would push out everything else."""

    max_share: Annotated[float, Meta(gt=0, le=1)] = 0.125  # of the bytes of the cache, for one answer
    min_cost_s: Annotated[float, Meta(ge=0)] = 0.0  # device time that a hit saves
    min_cost_s_per_mib: Annotated[float, Meta(ge=0)] = 0.0  # the same for each MiB it takes


class Worth(Struct, frozen=True):
    """What a cache brought so far, in seconds of work."""

    saved_s: float
    spent_s: float
    pays: bool
    reason: str


def refuse(size_bytes: int, cost_s: float, max_bytes: int, rule: Admission) -> str:
    """Why an answer is not stored, for people to read; empty if it may be."""
    if size_bytes > max_bytes:
        return f"{size_bytes} bytes are more than the whole cache, {max_bytes}"
    if size_bytes > max_bytes * rule.max_share:
        return f"{size_bytes} bytes are more than the {rule.max_share:.1%} of the cache that one answer may take"
    if not cost_s >= rule.min_cost_s:  # nor what is no number
        return f"computing it takes {cost_s:.6f} s, and less than {rule.min_cost_s:.6f} s is not worth storing"
    if cost_s * MIB < rule.min_cost_s_per_mib * size_bytes:
        return (
            f"it saves {cost_s * MIB / size_bytes:.6f} s for each MiB, and {rule.min_cost_s_per_mib:.6f} s is the least"
        )
    return ""


def weigh(hits: int, requests: int, saved_s: float, overhead_s: float) -> Worth:
    """Whether the cache saves more work than looking things up costs, `overhead_s` a request.

    A load of mostly unique requests pays for a cache and gets nothing: then it should be switched off.
    """
    spent_s = requests * overhead_s
    ratio = hits / requests if requests else 0.0
    pays = saved_s >= spent_s
    reason = f"{ratio:.1%} of {requests} requests hit and saved {saved_s:.3f} s; looking up took {spent_s:.3f} s"
    return Worth(saved_s, spent_s, pays, reason)
