"""How often a healthy canary is rolled back, and how soon a bad one: replays of a real request log.

    python -m bench.rollout_power --log FILE --format gentd26|latency_csv --replays N --weight 0.1
                                  --unit sticky|request [--inject errors=3.0|latency=1.2] [--json]

Without --inject both arms are the same version (A/A) and every rollback is a false one. With it the canary fails that
many times as often, or takes that many times as long. Beside ours stand a threshold rule like Flagger's and a
Mann-Whitney judge like Kayenta's, on the very same replays. `--all` runs what docs/canary.md shows; `--chart` draws it.

`failures` and `requests` count units of evidence: failed requests of both arms, and canary requests; under sticky
routing each client's first. `served` counts every canary request. An undecided replay counts as inf (null in JSON).
"""

import argparse
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.rollout.chart import draw
from bench.rollout.judge import Judge
from bench.rollout.log import FORMATS, Log, read_log
from bench.rollout.peers import PEERS
from bench.rollout.replay import Trial, stretches
from bench.rollout.speed import measure_speed

SCENES = ("", "errors=10", "errors=3", "latency=1.2", "latency=2")
OURS = "switchyard"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--replays", type=positive, default=10_000)
    parser.add_argument("--weight", type=share, default=0.1, help="the canary's share of traffic")
    parser.add_argument("--unit", choices=("sticky", "request"), default="request")
    parser.add_argument("--inject", default="", metavar="errors=3.0|latency=1.2")
    parser.add_argument(
        "--spread", choices=("local", "even"), default="local",
        help="whether injected errors multiply the log's share of failures at the moment, or its mean",
    )  # fmt: skip
    parser.add_argument("--alpha", type=share, default=0.01, help="chance of a false rollback, all guards together")
    parser.add_argument("--slo-error-percent", type=float, default=5.0)
    parser.add_argument("--gateways", type=positive, default=1, help="split over so many, merged each second")
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second of the replay's clock")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="every unit and effect of the documentation")
    parser.add_argument("--chart", type=Path, help="draw what was run as SVG")
    parser.add_argument("--json", action="store_true", help="one JSON object a run")
    given = parser.parse_args()
    try:
        trial = Trial(
            weight=given.weight, sticky=given.unit == "sticky", alpha=given.alpha, gateways=given.gateways,
            slo_error_percent=given.slo_error_percent, rate=given.rate, even=given.spread == "even",
            **effect_of(given.inject),
        )  # fmt: skip
        log = read_log(given.log, given.format)
    except (ValueError, OSError) as error:
        sys.exit(f"rollout_power: {error}")
    trials = every(trial) if given.all else [trial]
    results, speed = [], measure_speed()
    for item in trials:
        result = run(log, item, given.replays, given.seed) | {"speed": speed}
        results.append(result)
        print(json.dumps(result) if given.json else table(result), flush=True)
    if given.chart:
        given.chart.write_text(picture(results))


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def share(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError("must lie between 0 and 1; at 0 and 1 there is nothing to compare")
    return value


def effect_of(text: str) -> dict[str, float]:
    """`errors=3.0` as the field of a Trial. Raises ValueError for anything else."""
    if not text:
        return {}
    name, _, factor = text.partition("=")
    try:
        value = float(factor)
    except ValueError:
        value = math.nan
    if name not in ("errors", "latency") or not 0.0 < value < math.inf:
        raise ValueError(f"--inject {text!r} is neither errors=FACTOR nor latency=FACTOR with a factor over 0.")
    return {name: value}


def every(trial: Trial) -> list[Trial]:
    plain = replace(trial, errors=1.0, latency=1.0)
    return [
        replace(plain, sticky=sticky, gateways=gateways, **effect_of(scene))
        for sticky, gateways in ((False, 1), (True, 1), (False, 8))
        for scene in SCENES
        if gateways == 1 or scene
    ]


def run(log: Log, trial: Trial, replays: int, seed: int) -> dict[str, Any]:
    """Play and judge; one result, as the module's head says."""
    began = time.process_time()
    costs: dict[str, list[tuple[int, int]]] = {name: [] for name in (OURS, *PEERS)}
    served: list[int] = []
    guards: Counter[str] = Counter()
    played_rows = 0
    for index, (stretch, count) in enumerate(stretches(log, trial, replays)):
        judge = Judge(stretch)
        chance = np.random.default_rng([seed, index])
        for _ in range(count):
            played = stretch.play(chance)
            played_rows += len(played.canary)
            stopped = judge.judge(played, chance)
            if stopped is not None:
                costs[OURS].append((stopped.failures, stopped.requests))
                served.append(stopped.served)
                guards[stopped.guard] += 1
            for name, peer in PEERS.items():
                cost = peer(stretch, played)
                if cost is not None:
                    costs[name].append((cost.failures, cost.requests))
    figures = {name: figures_of(found, replays, trial.healthy) for name, found in costs.items()}
    return {
        "log": log.name,
        "unit": "sticky" if trial.sticky else "request",
        "weight": trial.weight,
        "inject": {"errors": trial.errors, "latency": trial.latency, "spread": "even" if trial.even else "local"},
        "gateways": trial.gateways,
        "alpha": trial.alpha,
        "replays": replays,
        "requests_a_replay": played_rows // replays,
        **figures.pop(OURS),
        "served_p50": percentile(served, replays, 0.5),
        "served_p95": percentile(served, replays, 0.95),
        "by_guard": dict(sorted(guards.items())),
        "peers": figures,
        "cpu_s": round(time.process_time() - began, 1),
        "notes": list(log.notes),
    }


def figures_of(found: Sequence[tuple[int, int]], replays: int, healthy: bool) -> dict[str, Any]:
    failures, requests = [one for one, _ in found], [two for _, two in found]
    return {
        "false_rollbacks" if healthy else "detected": len(found),
        "percent": round(100.0 * len(found) / replays, 3),
        "failures_p50": percentile(failures, replays, 0.5),
        "failures_p95": percentile(failures, replays, 0.95),
        "requests_p50": percentile(requests, replays, 0.5),
        "requests_p95": percentile(requests, replays, 0.95),
    }


def percentile(values: Sequence[int], replays: int, level: float) -> int | None:
    """Nearest rank over all replays, the undecided ones being infinite; None where it is."""
    place = math.ceil(level * replays) - 1
    return int(sorted(values)[place]) if place < len(values) else None


def table(result: dict[str, Any]) -> str:
    healthy = "false_rollbacks" in result
    rows = [(OURS, result), *result["peers"].items()]
    head = (
        f"{scene_of(result)}, {result['unit']}, weight {result['weight']:g}, gateways {result['gateways']}: "
        f"{result['replays']} replays of {result['requests_a_replay']} requests, {result['cpu_s']} s of processor"
    )
    columns = ("false %" if healthy else "detected %", "failures p50", "p95", "requests p50", "p95")
    lines = [head, " " * 16 + "".join(f"{name:>14}" for name in columns)]
    for name, figures in rows:
        cells = [figures[key] for key in ("failures_p50", "failures_p95", "requests_p50", "requests_p95")]
        shown = ["–" if cell is None else str(cell) for cell in cells]
        lines.append(f"{name:16}{figures['percent']:>14.2f}" + "".join(f"{cell:>14}" for cell in shown))
    if not healthy:
        lines.append(f"canary requests served until then: {result['served_p50']} / {result['served_p95']}")
    lines.append(f"by guard: {result['by_guard']}; speed: {result['speed']}")
    return "\n".join([*lines, *(f"note: {note}" for note in result["notes"])]) + "\n"


def scene_of(result: dict[str, Any]) -> str:
    errors, latency = result["inject"]["errors"], result["inject"]["latency"]
    if errors == 1.0 and latency == 1.0:
        return "healthy canary (A/A)"
    return f"{errors:g} times the errors" if errors != 1.0 else f"{latency:g} times the latency"


def picture(results: Sequence[dict[str, Any]]) -> str:
    """Healthy: how many of a hundred were rolled back. Bad: all canary requests served until half of them were."""
    panels = []
    for result in results:
        if result["gateways"] != 1:
            continue
        rows = [(OURS, result), *result["peers"].items()]
        if "false_rollbacks" in result:
            name = f"Healthy, {result['unit']}: % rolled back"
            bars = [(who, figures["percent"], f"{figures['percent']:.2f} %") for who, figures in rows]
        else:
            name = f"{scene_of(result)}, {result['unit']}: served, median"
            served = result | {"requests_p50": result["served_p50"]}  # the peers' requests are all that were served
            rows[0] = OURS, served
            bars = [(who, figures["requests_p50"], reached(figures)) for who, figures in rows]
        panels.append((name, bars))
    title = "False rollbacks of a healthy canary; canary requests served until half of the bad ones are found"
    return draw(title, panels, OURS)


def reached(figures: dict[str, Any]) -> str:
    found = f"{figures['percent']:.0f} % found"
    if figures["requests_p50"] is None:
        return found
    return f"{figures['requests_p50']}" + (f" ({found})" if figures["percent"] < 99.5 else "")


if __name__ == "__main__":
    main()
