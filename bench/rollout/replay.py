"""Replay a log as a canary's traffic: arms drawn anew each time, effects injected into the canary.

Replays begin at STARTS places of the log, spread evenly, and wrap around its end: first the control alone, until it has
given the thresholds, then both arms, once around. A bad canary's replay goes around until LONGEST requests, so that a
short log does not end before there can be a verdict; known clients stay who they are, unknown ones are new each time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.rollout.log import Log
from inference.policy.canary.rules import Rules, make_rules
from inference.policy.canary.thresholds import ENOUGH, Thresholds, freeze
from inference.spec import Assignment, Guard

STARTS = 100
LONGEST = 30_000
AROUND = 501  # requests over which the share of failures at a moment is taken
WITHOUT_FAILURES = 0.01  # share of failures put into a log that has none, when errors are to be injected


@dataclass(frozen=True)
class Trial:
    """What is tried: how traffic is split, and what is wrong with the canary (1.0: nothing)."""

    weight: float = 0.1
    sticky: bool = False
    errors: float = 1.0
    latency: float = 1.0
    even: bool = False  # further errors fall evenly on the log, not where it has its own
    alpha: float = 0.01
    slo_error_percent: float = 5.0
    gateways: int = 1
    rate: float = 10.0  # requests a second, for what has a clock: gateways' seconds, minutes of other rules

    @property
    def healthy(self) -> bool:
        return self.errors == 1.0 and self.latency == 1.0

    @property
    def rules(self) -> Rules:
        guards = [
            Guard(metric="error_rate", limit=1.0),
            Guard(metric="latency", limit=1.0),
            Guard(metric="slo_error_rate", limit=self.slo_error_percent),
            Guard(metric="invalid_output", limit=1.0),
        ]
        return make_rules(guards, self.alpha, Assignment.KEY if self.sticky else Assignment.REQUEST)


@dataclass(frozen=True)
class Played:
    """One replay's requests after the warm-up, as they came out."""

    canary: np.ndarray
    failed: np.ndarray
    latency: np.ndarray  # NaN where not answered well
    client: np.ndarray


class Stretch:
    """A log from one start on: thresholds of its warm-up, and the requests after it."""

    def __init__(self, log: Log, start: int, trial: Trial):
        order = (start + np.arange(len(log))) % len(log)
        measured = log.latency >= 0.0  # NaN and negative ones are not
        wanted = min(ENOUGH, max(1, int(measured.sum()) // 4))
        warm = int(np.searchsorted(np.cumsum(measured[order]), wanted)) + 1 if measured.any() else 0
        control = log.latency[order[:warm]]
        self.thresholds: Thresholds | None = freeze(control.tolist(), enough=wanted)
        once = order[warm:]
        rounds = 1 if trial.healthy else max(1, round(LONGEST / max(1, len(once))))
        rest = np.tile(once, rounds)
        again = 0 if log.named else np.repeat(np.arange(rounds), len(once)) * log.clients
        self.control_s = control[control >= 0.0]
        self.base = Played(np.zeros(len(rest), bool), log.failed[rest], log.latency[rest], log.client[rest] + again)
        self.clients = log.clients * (1 if log.named else rounds)
        self.once = len(once)
        self.trial = trial
        self.share = float(log.failed.mean())
        self.around = moving_share(self.base.failed)

    def play(self, chance: np.random.Generator) -> Played:
        """Draw the arms, then make the canary's requests fail and last as the trial says.

        "m times the errors" means m times the share of failures around that moment of the log, up to all requests: a
        canary that is as much worse in a bad hour as in a good one.
        """
        trial, base = self.trial, self.base
        if trial.sticky:
            canary = (chance.random(self.clients) < trial.weight)[base.client]
        else:
            canary = chance.random(len(base.client)) < trial.weight
        failed = base.failed
        if trial.errors != 1.0:
            share = np.full(len(canary), self.share) if trial.even else self.around
            if not self.share:
                share = np.full(len(canary), WITHOUT_FAILURES)
                failed = chance.random(len(canary)) < share
            extra = np.clip((trial.errors - 1.0) * share / np.maximum(1.0 - share, 1e-9), 0.0, 1.0)
            failed = failed | (canary & (chance.random(len(canary)) < extra))
        took = np.where(canary, base.latency * trial.latency, base.latency)
        return Played(canary, failed, np.where(failed, np.nan, took), base.client)


def moving_share(true: np.ndarray) -> np.ndarray:
    """The share around each place; near the ends, of what there is."""
    if not len(true):
        return np.zeros(0)
    near = np.ones(min(AROUND, len(true)))
    return np.convolve(true, near, "same") / np.convolve(np.ones(len(true)), near, "same")


def stretches(log: Log, trial: Trial, replays: int) -> Iterator[tuple[Stretch, int]]:
    """Each start with the number of replays that begin there."""
    starts = min(STARTS, replays, len(log))
    for index in range(starts):
        count = replays * (index + 1) // starts - replays * index // starts
        yield Stretch(log, len(log) * index // starts, trial), count
