"""What a fleet costs whose owner knows the future: the yardstick of scaling policies.

With n(t) requests in their slots at time t, had each begun as it came, a fleet on which nobody ever waits has at least
⌈n(t) / slots⌉ replicas at t, and that many are enough. Summed over time this is the least that any such fleet costs, if
replicas came and went for nothing. `zero_wait_s` is that sum.

They do not: a replica is paid from when it is asked for. The k-th one is needed while n(t) > (k - 1)·slots.
Through each gap in between its owner keeps it or starts it anew, whichever is cheaper, so a gap of g seconds costs
min(g, cold start). Levels do not depend on one another, so the sum over them is the least of all, `with_cold_starts_s`.

A policy that lets requests wait up to a promise may stay under both, for waiting fills gaps. Nothing stays under
`work_s`: every slot busy all the time.
"""

from dataclasses import dataclass
from itertools import chain

from inference.simulator.scaling import Workload


@dataclass(frozen=True)
class Bound:
    """Replica-seconds from the first arrival to the last."""

    work_s: float
    zero_wait_s: float
    with_cold_starts_s: float


def bound_of(work: Workload, cold_start_s: float) -> Bound:
    """The bounds of a workload. All zero for one without requests."""
    end_s = work.end_s
    events = sorted(
        chain(
            ((at_s, 1) for at_s in work.at_s if at_s <= end_s),
            ((at_s + took_s, -1) for at_s, took_s in zip(work.at_s, work.service_s, strict=True)),
        )
    )
    busy = level = 0
    last_s = area_s = fleet_s = starts_s = 0.0
    ended_s: list[float] = []  # by level, when it was last needed
    for at_s, change in events:
        now_s = min(at_s, end_s)
        area_s += busy * (now_s - last_s)
        fleet_s += level * (now_s - last_s)
        last_s = now_s
        if at_s > end_s:
            break
        busy += change
        needed = -(-busy // work.slots)
        while len(ended_s) < needed:
            ended_s.append(0.0)
        if needed > level:
            starts_s += min(now_s - ended_s[needed - 1], cold_start_s)
        elif needed < level:
            ended_s[level - 1] = now_s
        level = needed
    return Bound(area_s / work.slots, fleet_s, fleet_s + starts_s)
