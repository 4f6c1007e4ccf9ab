"""How many replicas a unit should have, and why. One `Autoscaler` a unit; the same loads give the same decisions."""

from math import ceil, isfinite

from inference.policy.autoscaling.forecast import Forecast, Pulse
from inference.policy.autoscaling.load import Decision, Load, Rule, Step, is_sound
from inference.policy.autoscaling.margins import Surprise
from inference.policy.autoscaling.steady import Steady
from inference.policy.autoscaling.targets import track_target
from inference.spec import ScalePolicy, ScaleSignal

LEVEL_HALF = 2.0, 60.0  # half-life of the level: so many cold starts, but not so short that it follows noise
AIM = 0.9  # of the promise: what was learnt is a sample, and the next hour another
URGENT = 1.5  # times the replicas there are: a burst that asks for so many turns the number whenever it comes
SOON_S = 1e-3  # after which another load says nothing: a rate over so short a time is no rate
DOWN_AFTER = 4.0, 60.0  # a replica goes when less was enough for so many cold starts, and seconds


class Autoscaler:
    """Decides for one unit. Takes facts and time; has no clock and starts nothing."""

    __slots__ = ("at_s", "forecast", "policy", "pulse", "seen_s", "steady", "surprise")

    def __init__(self, policy: ScalePolicy):
        self.policy = policy
        self.forecast = Forecast(LEVEL_HALF[1])
        self.pulse = Pulse()
        self.steady = Steady()
        self.surprise = Surprise()
        self.at_s: float | None = None  # of the last load
        self.seen_s: float | None = None  # when somebody was last here

    def decide(self, load: Load, now_s: float) -> Decision:
        """The number of replicas from now on. To be asked every second or so, with the load since the last time.

        Where a reading is no number, negative or beyond any (`LARGEST`), or the clock stands still or goes back, all
        stays as it is: a wrong fleet is dearer than an old one. After a longer silence than it can bridge the forecast
        starts anew.
        """
        if not is_sound(load) or not isfinite(now_s):
            return self.bound(load, [Step(Rule.UNKNOWN, load.replicas, {"reading": "not a sound number"})])
        elapsed_s = 1.0 if self.at_s is None else now_s - self.at_s
        if elapsed_s < SOON_S:
            return self.bound(load, [Step(Rule.UNKNOWN, load.replicas, {"clock_s": elapsed_s})])
        self.at_s = now_s
        if self.policy.signal is ScaleSignal.FIXED:
            return self.bound(load, [Step(Rule.FIXED, self.policy.min_replicas)])
        self.learn(load, elapsed_s, now_s)
        steps = [self.follow(load)]
        self.add_urgent(steps, load)
        self.add_idle(steps, load, now_s)
        if self.policy.spare_replicas and steps[-1].replicas:
            steps.append(Step(Rule.SPARE, steps[-1].replicas + self.policy.spare_replicas))
        wanted = self.clip(steps[-1].replicas)
        urgent = wanted >= URGENT * load.replicas and any(step.rule in (Rule.BURST, Rule.WAKE) for step in steps)
        held = self.steady.hold(wanted, load.replicas, urgent, self.window_s(load), load.cold_start_s, now_s)
        if held is not None:
            steps.append(held)
        decision = self.bound(load, steps)
        self.steady.note(load.replicas, decision.replicas, now_s)
        return decision

    def learn(self, load: Load, elapsed_s: float, now_s: float) -> None:
        self.forecast.level_half_s = max(LEVEL_HALF[0] * load.cold_start_s, LEVEL_HALF[1])
        self.forecast.observe(load, self.policy.wait_s, elapsed_s)
        calm = not load.starting and self.forecast.strained_s <= 0.0
        self.surprise.observe(load, self.policy.slots, self.forecast.patience(self.policy.wait_s), calm, elapsed_s)
        self.pulse.observe(load, elapsed_s)
        if load.arrivals or load.concurrency > 0.0 or load.waiting:
            self.seen_s = now_s
        elif self.seen_s is None:
            self.seen_s = now_s - elapsed_s

    def follow(self, load: Load) -> Step:
        """The policy's signal."""
        if self.policy.signal is not ScaleSignal.PREDICTIVE:
            return track_target(load, self.policy)
        share = AIM * self.policy.late_share / self.surprise.ratio
        slots, facts = self.forecast.slots_needed(share, self.policy.wait_s)
        return Step(Rule.SIGNAL, max(1, ceil(slots / self.policy.slots - 1e-9)), facts)

    def add_urgent(self, steps: list[Step], load: Load) -> None:
        """Work waits longer than it may, and the last seconds would fill more than all that is ready or starting."""
        if not load.waiting:
            return
        if not load.replicas:
            steps.append(Step(Rule.WAKE, max(1, steps[-1].replicas), {"waiting": float(load.waiting)}))
        if load.oldest_wait_s <= self.policy.wait_s:
            return
        slots = self.pulse.slots_needed(load, self.forecast.service_mean_s, load.cold_start_s)
        wanted = ceil(slots / self.policy.slots)
        if wanted > max(load.replicas, steps[-1].replicas):
            steps.append(Step(Rule.BURST, wanted, {"slots": slots, "waiting": float(load.waiting)}))

    def add_idle(self, steps: list[Step], load: Load, now_s: float) -> None:
        """Without anybody for `idle_s` the last replica goes, where the policy lets it; none is started for nobody."""
        if self.policy.min_replicas or load.waiting or steps[-1].rule is Rule.UNKNOWN:
            return
        silent_s = now_s - self.seen_s if self.seen_s is not None else 0.0
        if silent_s >= self.policy.idle_s or (silent_s > 0.0 and not load.replicas):
            steps.append(Step(Rule.IDLE, 0, {"silent_s": silent_s}))
        elif steps[-1].replicas < 1:
            steps.append(Step(Rule.IDLE, 1, {"silent_s": silent_s}))

    def window_s(self, load: Load) -> float:
        window_s = self.policy.down_after_s
        return max(DOWN_AFTER[0] * load.cold_start_s, DOWN_AFTER[1]) if window_s is None else window_s

    def clip(self, replicas: int) -> int:
        return max(self.policy.min_replicas, min(replicas, self.policy.max_replicas))

    def bound(self, load: Load, steps: list[Step]) -> Decision:
        clipped = self.clip(steps[-1].replicas)
        if clipped != steps[-1].replicas:
            bounds = {"min": float(self.policy.min_replicas), "max": float(self.policy.max_replicas)}
            steps.append(Step(Rule.BOUNDS, clipped, bounds))
        return Decision(clipped, tuple(steps))
