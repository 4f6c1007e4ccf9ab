"""The autoscalers that others use, from their documentation: what ours is measured against.

Each is given what it is given at home: the Knative pod autoscaler the concurrency, waiting requests included (its
activator queues them); the horizontal pod autoscaler the utilisation of slots, which cannot exceed 1.
"""

from collections import deque
from math import ceil, floor

from inference.policy.autoscaling.load import Load


class Static:
    """Always so many."""

    def __init__(self, replicas: int):
        self.replicas = replicas

    def decide(self, load: Load, now_s: float) -> int:
        return self.replicas


class KnativePodAutoscaler:
    """KPA with its defaults: every 2 s the mean concurrency of 60 s, over 70 % of what a pod may hold; panic where the
    mean of the last 6 s asks for twice the ready pods, and no scaling down until 60 s after. At most 1000 times up, and
    half down, at once."""

    TICK_S, STABLE_S, PANIC_S = 2.0, 60.0, 6.0
    TARGET, PANIC_THRESHOLD, MAX_UP, MAX_DOWN = 0.7, 2.0, 1000.0, 2.0

    def __init__(self, slots: int, least: int = 1):
        self.target = slots * self.TARGET
        self.least = least
        self.seen: deque[tuple[float, float]] = deque()
        self.next_s = 0.0
        self.panic_s: float | None = None
        self.panic_pods = 0

    def decide(self, load: Load, now_s: float) -> int:
        self.seen.append((now_s, load.concurrency))
        while self.seen[0][0] <= now_s - self.STABLE_S:
            self.seen.popleft()
        if now_s < self.next_s:
            return load.replicas
        self.next_s = now_s + self.TICK_S
        panic = [value for at_s, value in self.seen if at_s > now_s - self.PANIC_S]
        ready = max(1, load.ready)
        most, fewest = ceil(self.MAX_UP * ready), floor(ready / self.MAX_DOWN)
        stable_pods = ceil(sum(value for _, value in self.seen) / len(self.seen) / self.target)
        asked = ceil(sum(panic) / len(panic) / self.target)
        panic_pods = min(max(asked, fewest), most)
        wanted = min(max(stable_pods, fewest), most)
        if asked / ready >= self.PANIC_THRESHOLD:
            self.panic_s = now_s
        elif self.panic_s is not None and now_s - self.panic_s > self.STABLE_S:
            self.panic_s, self.panic_pods = None, 0
        if self.panic_s is not None:
            self.panic_pods = max(self.panic_pods, wanted, panic_pods)
            wanted = self.panic_pods
        return max(self.least, wanted)


class HorizontalPodAutoscaler:
    """HPA with its defaults: every 15 s ceil(pods · utilisation / target), nothing within 10 % of the target, pods that
    are starting counted as idle when scaling up, at most double or 4 more in 15 s, and down only to the most that was
    asked for in 300 s. Utilisation is the mean of the last 30 s, target 70 %."""

    SYNC_S, METRIC_S, STABILIZATION_S = 15.0, 30.0, 300.0
    TARGET, TOLERANCE = 0.7, 0.1

    def __init__(self, least: int = 1):
        self.least = least
        self.seen: deque[tuple[float, float]] = deque()
        self.asked: deque[tuple[float, int]] = deque()
        self.next_s = 0.0

    def decide(self, load: Load, now_s: float) -> int:
        if load.busy is not None:
            self.seen.append((now_s, load.busy))
        while self.seen and self.seen[0][0] <= now_s - self.METRIC_S:
            self.seen.popleft()
        if now_s < self.next_s or not self.seen or not load.ready:
            return load.replicas
        self.next_s = now_s + self.SYNC_S
        if not self.asked:
            self.asked.append((now_s, load.replicas))  # the size it finds counts as asked for
        wanted = self.recommend(load)
        self.asked.append((now_s, wanted))
        while self.asked[0][0] < now_s - self.STABILIZATION_S:
            self.asked.popleft()
        if wanted < load.replicas:
            wanted = min(load.replicas, max(pods for _, pods in self.asked))
        elif wanted > load.replicas:
            wanted = min(wanted, max(2 * load.replicas, load.replicas + 4))
        return max(self.least, wanted)

    def recommend(self, load: Load) -> int:
        ratio = sum(value for _, value in self.seen) / len(self.seen) / self.TARGET
        if abs(ratio - 1.0) <= self.TOLERANCE:
            return load.replicas
        if ratio < 1.0 or not load.starting:
            return ceil(ratio * load.ready)
        with_starting = ratio * load.ready / load.replicas
        if with_starting <= 1.0 + self.TOLERANCE:
            return load.replicas
        return ceil(with_starting * load.replicas)
