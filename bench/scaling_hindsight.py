"""How little a fleet could cost that is re-sized now and then by someone who knows the future: a limit for forecasts.

For each stretch of the trace it is known how many would be late on a fleet of every fixed size. The cheapest choice of
sizes that keeps a promise overall is found by pricing lateness (a Lagrange multiplier). Two things flatter it: replicas
start in no time and for nothing, and no stretch inherits the line that a smaller fleet left behind.
"""

from dataclasses import replace
from math import ceil

import numpy as np

from inference.simulator.baselines import Static
from inference.simulator.scaling import Setting, Workload, play

PRICES = np.geomspace(0.1, 10_000.0, 400)  # replica-seconds that one late request is worth


def sizes_late(work: Workload, setting: Setting, every_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Fleet sizes, and the late requests by size (rows) and stretch (columns)."""
    stretch = (np.array(work.at_s) / every_s).astype(int)
    rows: list[np.ndarray] = []
    sizes: list[int] = []
    size = max(1, ceil(work.mean_load / 2.0))
    while not rows or rows[-1].any():
        waits_s = np.array(play(work, Static(size).decide, replace(setting, initial=size)).waits_s)
        rows.append(np.bincount(stretch[waits_s > setting.wait_s], minlength=int(stretch[-1]) + 1))
        sizes.append(size)
        size += max(1, size // 20)
    return np.array(sizes), np.array(rows)


def cheapest(work: Workload, setting: Setting, every_s: float, promise: float) -> tuple[float, float]:
    """Replica-seconds of the cheapest choice that keeps the promise, and its late part of requests."""
    sizes, late = sizes_late(work, setting, every_s)
    lengths_s = np.full(late.shape[1], every_s)
    lengths_s[-1] = work.end_s - every_s * (late.shape[1] - 1)
    best = float("inf"), 0.0
    for price in PRICES:
        chosen = np.argmin(sizes[:, None] * lengths_s + price * late, axis=0)
        share = float(late[chosen, np.arange(len(chosen))].sum()) / len(work.at_s)
        cost_s = float(sizes[chosen] @ lengths_s)
        if share <= promise and cost_s < best[0]:
            best = cost_s, share
    return best
