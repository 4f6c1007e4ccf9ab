"""Keeps the number of replicas from swinging: up at once, down late, and few changes of direction.

A cold start costs as much as keeping a replica for as long: one that is needed again within it was not worth dropping.
"""

from collections import deque

from inference.policy.autoscaling.load import Rule, Step


class Steady:
    """Remembers what was asked for lately, and when the number last turned. Owned by the caller; has no clock."""

    __slots__ = ("asked", "began_s", "direction", "raised_s", "turned_s")

    def __init__(self) -> None:
        self.asked: deque[tuple[float, int]] = deque()  # (when, how many), falling: the first is the most of the window
        self.began_s: float | None = None
        self.direction = 0  # of the last change: 1 up, -1 down
        self.raised_s = self.turned_s = float("-inf")

    def hold(
        self, wanted: int, current: int, urgent: bool, window_s: float, cold_start_s: float, now_s: float
    ) -> Step | None:
        """What may be done of `wanted` now, or None where it may be done whole.

        Down to the most that was wanted within `window_s`, once that long has been watched, and not within a cold start
        of the last rise. Against the direction of the last change only a cold start after the last turn, unless
        `urgent`: a promise is worth more than a smooth line.
        """
        if self.began_s is None:
            self.began_s = now_s
        while self.asked and self.asked[-1][1] <= wanted:
            self.asked.pop()
        self.asked.append((now_s, wanted))
        while self.asked[0][0] < now_s - window_s:
            self.asked.popleft()
        most = self.asked[0][1]
        if wanted > current:
            kept = self.turns_too_soon(1, cold_start_s, now_s) and not urgent
            return Step(Rule.STEADY, current, {"turned_s_ago": now_s - self.turned_s}) if kept else None
        if wanted == current:
            return None
        if now_s - self.began_s < window_s:
            return Step(Rule.STEADY, current, {"watched_s": now_s - self.began_s, "window_s": window_s})
        if now_s - self.raised_s < cold_start_s:
            return Step(Rule.STEADY, current, {"raised_s_ago": now_s - self.raised_s})
        if self.turns_too_soon(-1, cold_start_s, now_s):
            return Step(Rule.STEADY, current, {"turned_s_ago": now_s - self.turned_s})
        if most <= wanted:
            return None
        return Step(Rule.STEADY, min(current, most), {"most": float(most), "window_s": window_s})

    def turns_too_soon(self, direction: int, cold_start_s: float, now_s: float) -> bool:
        return self.direction == -direction and now_s - self.turned_s < cold_start_s

    def note(self, before: int, after: int, now_s: float) -> None:
        """Remember the change that was decided."""
        if after == before:
            return
        direction = 1 if after > before else -1
        if direction == 1:
            self.raised_s = now_s
        if self.direction == -direction:
            self.turned_s = now_s
        self.direction = direction
