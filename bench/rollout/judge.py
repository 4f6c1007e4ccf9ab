"""Our verdict on a replay, fast enough for ten thousand of them.

One outcome at a time is too slow for that, so the walk through a replay is vectorised. What decides is the product's:
rules, shares, gains and thresholds come from `inference.policy.canary`, and `tests/bench/test_rollout_power.py` holds
this walk against `CanaryAnalysis`, outcome by outcome, to 1e-9.
"""

import math
from dataclasses import dataclass

import numpy as np

from bench.rollout.replay import Played, Stretch
from inference.policy.canary import absolute, errors, latency
from inference.policy.canary.guard import new_guard
from inference.policy.canary.rules import Metric

BLOCK = 4096  # latencies at a time: of 30 cells, what a core's cache holds


@dataclass(frozen=True)
class Stopped:
    """A rollback: at which request of the replay, by which guard, and what it had cost."""

    row: int
    guard: str
    log_e: float  # of all guards together
    failures: int  # evidence: failed requests, under sticky each client's first
    requests: int  # evidence: canary requests, under sticky each client's first
    served: int  # canary requests


def firsts(rows: np.ndarray, client: np.ndarray) -> np.ndarray:
    """Of these rows, each client's first, in order."""
    return rows[np.sort(np.unique(client[rows], return_index=True)[1])]


def wealth_after(start: np.ndarray, gains: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """A test's wealth after each unit; `codes` index `gains` (one row a kind of unit, one column a cell)."""
    return np.exp(start + np.cumsum(gains[codes], axis=0)).sum(axis=1)


class Judge:
    """The product's rule: roll back when the guards' e-values, weighted by their shares, first reach 1/alpha: their
    sum, or under sticky routing the highest."""

    def __init__(self, stretch: Stretch):
        trial = self.trial = stretch.trial
        self.limit = 1.0 / trial.alpha
        rules = trial.rules
        self.share = {rule.metric: rule.share for rule in rules.guards}
        self.reserve = {rule.metric: new_guard(rule, rules.sticky).reserve for rule in rules.guards}
        self.together = np.maximum if rules.sticky else np.add
        self.error_gains = np.array(errors.gains_of(trial.weight, 1.0, errors.GRID))
        self.error_start = np.log(errors.SHARES)
        self.slo_gains = np.array(absolute.gains_of(trial.slo_error_percent / 100.0, absolute.OVER))
        self.slo_start = np.full(len(absolute.OVER), -math.log(len(absolute.OVER)))
        self.thresholds = stretch.thresholds
        if self.thresholds is not None:
            gains = latency.gains_of(trial.weight, self.thresholds.above)
            self.buckets, cells = len(gains[0]), len(gains[0][0])
            self.latency_gains = np.array(gains).reshape(-1, cells)  # [arm × buckets + bucket][cell]
            self.latency_start = np.array(latency.shares_of(self.thresholds.above))

    def part(self, metric: Metric, wealth: np.ndarray | float) -> np.ndarray:
        """A guard's part of the sum: its share of what its test has and of the reserve."""
        return np.asarray(self.share[metric] * ((1.0 - self.reserve[metric]) * wealth + self.reserve[metric]))

    def judge(self, played: Played, chance: np.random.Generator) -> Stopped | None:
        """The first rollback of a replay, or None. `chance` deals requests to gateways where there are several."""
        failures, asked = np.nonzero(played.failed)[0], np.nonzero(played.canary)[0]
        measured = np.nonzero(played.latency >= 0.0)[0] if self.thresholds is not None else np.array([], int)
        if self.trial.sticky:
            failures, asked = (firsts(some, played.client) for some in (failures, asked))
            measured = np.intersect1d(firsts(np.arange(len(played.client)), played.client), measured)
        known = self.known(len(played.canary), chance)
        canary, failed = played.canary.astype(int), played.failed.astype(int)
        with np.errstate(over="ignore"):  # far beyond the limit
            on_errors = wealth_after(self.error_start, self.error_gains, canary[failures])
            told, at = by_time(asked, known)
            on_slo = wealth_after(self.slo_start, self.slo_gains, failed[told])
            parts = {
                Metric.ERROR_RATE: self.part(Metric.ERROR_RATE, over_rows(on_errors, failures, len(canary))),
                Metric.SLO_ERROR_RATE: self.part(Metric.SLO_ERROR_RATE, over_rows(on_slo, at, len(canary))),
            }
            others = self.together(self.together(*parts.values()), self.part(Metric.INVALID_OUTPUT, 1.0))
            row, on_latency = self.first_crossing(played, measured, known, others)
        if row is None:
            return None
        case = {metric: float(part[row]) for metric, part in parts.items()} | {Metric.LATENCY: on_latency}
        return Stopped(
            row=row,
            guard=max(case, key=case.__getitem__).value,
            log_e=math.log(self.together(others[row], on_latency)),
            failures=int(np.searchsorted(failures, row, "right")),
            requests=int(np.searchsorted(asked, row, "right")),
            served=int(canary[: row + 1].sum()),
        )

    def known(self, count: int, chance: np.random.Generator) -> np.ndarray | None:
        """When what is sent once a second is known, as a row: at the end of its gateway's second. None: at once.

        Failures do not wait: they are sent when they happen.
        """
        if self.trial.gateways == 1:
            return None
        gateway = chance.integers(self.trial.gateways, size=count)
        phase = gateway * self.trial.rate / self.trial.gateways
        ticks = np.ceil((np.arange(count) - phase) / self.trial.rate) * self.trial.rate + phase
        return np.minimum(np.ceil(ticks), count - 1).astype(int)

    def first_crossing(
        self, played: Played, measured: np.ndarray, known: np.ndarray | None, others: np.ndarray
    ) -> tuple[int | None, float]:
        """Where the sum of all guards first reaches the limit, and the latency guard's part of it."""
        told, at = by_time(measured, known)
        before = int(at[0]) if len(at) else len(others)  # rows without any latency yet
        unmoved = float(self.part(Metric.LATENCY, 1.0))
        row = first(self.together(others[:before], unmoved) >= self.limit)
        if row is not None:
            return row, unmoved
        logs = self.latency_start if len(told) else None
        for begin in range(0, len(told), BLOCK):
            some = told[begin : begin + BLOCK]
            walk = logs + np.cumsum(self.latency_gains[self.codes(played, some)], axis=0)
            logs = walk[-1]
            low = int(at[begin])
            high = int(at[begin + BLOCK]) if begin + BLOCK < len(at) else len(others)
            top = math.exp(min(700.0, float(walk.max()))) * walk.shape[1]
            if float(others[low:high].max(initial=0.0)) + float(self.part(Metric.LATENCY, top)) < self.limit:
                continue  # not even the best cell in every place gets there: no need to know the sum
            part = self.part(Metric.LATENCY, np.exp(walk).sum(axis=1))
            place = np.searchsorted(at[begin : begin + BLOCK], np.arange(low, high), "right") - 1
            row = first(self.together(others[low:high], part[place]) >= self.limit)
            if row is not None:
                return low + row, float(part[place[row]])
        return None, 0.0

    def codes(self, played: Played, rows: np.ndarray) -> np.ndarray:
        """Arm and bucket of each latency, as a row of `latency_gains`."""
        bucket = np.searchsorted(self.thresholds.at_s, played.latency[rows], "left")  # type: ignore[union-attr]
        return played.canary[rows] * self.buckets + bucket


def by_time(rows: np.ndarray, known: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows in the order in which they become known, and when."""
    if known is None:
        return rows, rows
    order = np.argsort(known[rows], kind="stable")
    return rows[order], known[rows][order]


def over_rows(wealth: np.ndarray, at: np.ndarray, count: int) -> np.ndarray:
    """A test's wealth at each of `count` rows: 1 before its first unit, then what the last one left."""
    return np.concatenate([[1.0], wealth])[np.searchsorted(at, np.arange(count), "right")]


def first(true: np.ndarray) -> int | None:
    return int(true.argmax()) if true.any() else None
