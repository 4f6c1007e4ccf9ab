"""How the rules that the field runs judge the same replays, after their documentation; the real ones know more metrics.

`flagger`  Every minute the canary's last minute is checked: at least `success_percent` of requests succeed, and the
           0.99 quantile is within `slow_factor` times the warm-up's. Five failed checks roll back; ten minutes promote.
           Flagger's own limits are 99 % and 500 ms; the second says nothing about a model that takes half a minute.
`flagger_tuned`  The same with a success limit that fits the log: twice its share of failures is tolerated.
`kayenta`  Once, after one round of the log: 50 points of each arm, a point the mean over an interval, for failures
           and for latency. A metric is high when the 98 % Mann-Whitney interval of the shift lies beyond a quarter of
           the Hodges-Lehmann estimate; one high metric fails the canary. It needs 50 points, so it cannot come before.
"""

from dataclasses import dataclass

import numpy as np

from bench.rollout.replay import Played, Stretch

CHECK_S = 60.0
CHECKS, FAILED_CHECKS = 10, 5
SUCCESS_PERCENT = 99.0
SLOW_FACTOR = 1.2
POINTS = 50
Z_98 = 2.3263  # of the two-sided 98 % interval
EFFECT = 0.25


@dataclass(frozen=True)
class Cost:
    """What a rollback had cost: failed requests of both arms, and the canary's requests."""

    failures: int
    requests: int


def flagger(stretch: Stretch, played: Played, success_percent: float = SUCCESS_PERCENT) -> Cost | None:
    length = max(1, round(CHECK_S * stretch.trial.rate))
    slow_s = float(np.quantile(stretch.control_s, 0.99)) * SLOW_FACTOR if len(stretch.control_s) else np.inf
    bad = 0
    for check in range(min(CHECKS, len(played.canary) // length)):
        rows = slice(check * length, (check + 1) * length)
        canary = played.canary[rows]
        if not canary.any():
            bad += 1  # no metric is a failed check
        else:
            success = 100.0 * (1.0 - played.failed[rows][canary].mean())
            took = played.latency[rows][canary]
            took = took[took >= 0.0]
            bad += success < success_percent or (len(took) > 0 and float(np.quantile(took, 0.99)) > slow_s)
        if bad >= FAILED_CHECKS:
            return cost(played, rows.stop)
    return None


def flagger_tuned(stretch: Stretch, played: Played) -> Cost | None:
    return flagger(stretch, played, 100.0 - 200.0 * max(stretch.share, 0.005))


def kayenta(stretch: Stretch, played: Played) -> Cost | None:
    rows = stretch.once
    if rows < POINTS:
        return None
    edges = np.linspace(0, rows, POINTS + 1).astype(int)[:-1]
    took, canary = played.latency[:rows], played.canary[:rows]
    answered = took >= 0.0
    for value, counted in (
        (played.failed[:rows].astype(float), np.ones(rows, bool)),
        (np.nan_to_num(took), answered),
    ):
        arms = []
        for arm in (canary, ~canary):
            here = arm & counted
            count = np.add.reduceat(here, edges, dtype=float)
            total = np.add.reduceat(value * here, edges)
            arms.append(total[count > 0] / count[count > 0])
        if is_high(*arms):
            return cost(played, rows)
    return None


def is_high(canary: np.ndarray, control: np.ndarray) -> bool:
    """Whether the interval of the shift lies beyond the least effect that counts."""
    shifts = np.sort((canary[:, None] - control[None, :]).ravel())
    pairs, count = len(shifts), len(canary) + len(control) + 1
    place = int(pairs / 2.0 - Z_98 * (pairs * count / 12.0) ** 0.5)
    if place < 0 or not pairs:
        return False  # too few points for an interval
    return bool(shifts[place] > EFFECT * abs(float(np.median(shifts))))


def cost(played: Played, rows: int) -> Cost:
    return Cost(int(played.failed[:rows].sum()), int(played.canary[:rows].sum()))


PEERS = {"flagger": flagger, "flagger_tuned": flagger_tuned, "kayenta": kayenta}
