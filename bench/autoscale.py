"""What scaling policies cost, and whom they let wait: `python -m bench.autoscale --trace FILE --format azure_llm`.

A replica has 4 slots. A request is in one for 0.2 s and 20 ms a token that it answers with; where prompts are long
(mooncake) also 0.05 ms a token of its prompt. It is late when it waited longer than 1 s, and makes way from then on for
those who are not (`--queue fifo`: nobody makes way). Replicas cost from the moment they are asked for. Costs are told
as a multiple of the least that a fleet costs on which nobody ever waits, whose owner knows the future and whose
replicas start in no time (`inference/simulator/scaling_bound.py`).

    python -m bench.autoscale --trace FILE --format azure_llm|mooncake --cold-start-s 30 --policy all --json
    python -m bench.autoscale --trace FILE --format mooncake --chart autoscaling.svg
    python -m bench.autoscale --generate day-in-an-hour

A line a policy: `violations` is the part of requests that were late; `direction_changes` the most turns of the number
of replicas, from up to down or back, within any one cold start. docs/autoscaling.md says what the figures are worth.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.scaling_chart import Curve, draw_chart
from bench.scaling_hindsight import cheapest
from bench.scaling_traffic import SHAPES, generate
from inference.policy.autoscaling.decide import Autoscaler
from inference.policy.autoscaling.load import Load
from inference.simulator.baselines import HorizontalPodAutoscaler, KnativePodAutoscaler, Static
from inference.simulator.durations import Constant
from inference.simulator.scaling import Played, Scaler, Setting, Workload, play
from inference.simulator.scaling_bound import Bound, bound_of
from inference.simulator.traces import BadTrace, read_trace
from inference.spec import ScalePolicy, ScaleSignal

BASE_S, ANSWER_TOKEN_S = 0.2, 0.02
PROMPT_TOKEN_S = {"azure_llm": 0.0, "mooncake": 0.00005}
STATIC_USE = 0.7  # of its slots, on average: the usual rule of thumb for a fleet of fixed size
MOST_REPLICAS = 10_000
FRONTIER = (0.001, 0.0025, 0.005, 0.01, 0.02)  # promises, for the chart
GOAL = (1.40, 0.005)
HINDSIGHT_S = (600.0, 60.0)

Row = dict[str, str | float | int]


def main() -> int:
    given = arguments()
    name = given.trace.name if given.trace else given.generate
    try:
        if given.trace:
            work = read_work(given.trace, given.format, given.slots)
        else:
            work = generate(given.generate, given.slots)
    except (BadTrace, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    if not work.end_s:
        print(f"{name}: fewer than two moments of arrival; there is nothing to scale.", file=sys.stderr)
        return 1
    bound = bound_of(work, given.cold_start_s)
    setting = Setting(
        cold_start=Constant(given.cold_start_s),
        cold_start_s=given.cold_start_s,
        wait_s=given.wait_s,
        initial=static_size(work) if given.initial is None else given.initial,
        late_last=given.queue == "late-last",
    )
    policies = {
        "ours": lambda: ours(given.slots, given.wait_s, given.late_share),
        "kpa": lambda: KnativePodAutoscaler(given.slots).decide,
        "hpa": lambda: HorizontalPodAutoscaler().decide,
        "static": lambda: Static(static_size(work)).decide,
    }
    chosen = list(policies) if given.policy == "all" else [given.policy]
    rows = {name: describe(name, play(work, policies[name](), setting), bound, given) for name in chosen}
    if given.json:
        for row in rows.values():
            print(json.dumps(row))
    else:
        print_table(rows, work, bound, setting)
        print_hindsight(work, setting, bound, given.late_share)
    if given.chart:
        points = {name: (float(row["cost_ratio"]), float(row["violations"])) for name, row in rows.items()}
        curves = [
            Curve("fixed sizes, with hindsight", sweep_static(work, setting, bound)),
            Curve("ours, by promise", sweep_ours(work, setting, bound, given)),
        ]
        given.chart.parent.mkdir(parents=True, exist_ok=True)
        given.chart.write_text(draw_chart(Path(name).stem, curves, points, GOAL))
    return 0


def read_work(path: Path, format: str, slots: int) -> Workload:
    traffic = read_trace(path, format)
    service_s = BASE_S + ANSWER_TOKEN_S * traffic.output_tokens + PROMPT_TOKEN_S[format] * traffic.input_tokens
    return Workload(traffic.at_s.tolist(), service_s.tolist(), slots)


def static_size(work: Workload) -> int:
    return max(1, math.ceil(work.mean_load / STATIC_USE))


def ours(slots: int, wait_s: float, late_share: float) -> Scaler:
    policy = ScalePolicy(
        max_replicas=MOST_REPLICAS, signal=ScaleSignal.PREDICTIVE, slots=slots, wait_s=wait_s, late_share=late_share
    )
    autoscaler = Autoscaler(policy)

    def decide(load: Load, now_s: float) -> int:
        return autoscaler.decide(load, now_s).replicas

    return decide


def describe(name: str, played: Played, bound: Bound, given: argparse.Namespace) -> Row:
    waits_s = np.array(played.waits_s)
    return {
        "policy": name,
        "cost_ratio": round(played.worker_s / bound.zero_wait_s, 4),
        "violations": round(played.late_share, 6),
        "direction_changes": played.turns_within(given.cold_start_s),
        "direction_changes_total": len(played.turns_s),
        "cost_ratio_with_cold_starts": round(played.worker_s / bound.with_cold_starts_s, 4),
        "worker_seconds": round(played.worker_s, 1),
        "wait_p99_s": round(float(np.percentile(waits_s, 99)), 3),
        "wait_max_s": round(float(waits_s.max()), 3),
        "queue": given.queue,
    }


def sweep_static(work: Workload, setting: Setting, bound: Bound) -> list[tuple[float, float]]:
    """Every fixed size from one that is too small to one that makes nobody wait."""
    points: list[tuple[float, float]] = []
    size = max(1, math.ceil(work.mean_load))
    while not points or points[-1][1] > 0.0:
        played = play(work, Static(size).decide, replace(setting, initial=size))
        points.append((played.worker_s / bound.zero_wait_s, played.late_share))
        size += max(1, size // 20)
    return points


def sweep_ours(work: Workload, setting: Setting, bound: Bound, given: argparse.Namespace) -> list[tuple[float, float]]:
    runs = [play(work, ours(given.slots, given.wait_s, share), setting) for share in FRONTIER]
    return sorted((played.worker_s / bound.zero_wait_s, played.late_share) for played in runs)


def print_table(rows: dict[str, Row], work: Workload, bound: Bound, setting: Setting) -> None:
    print(
        f"{len(work.at_s):,} requests in {work.end_s:,.0f} s; {work.mean_load:.1f} replicas busy on average. The least "
        f"fleet on which nobody waits costs {bound.zero_wait_s:,.0f} replica-seconds, and "
        f"{bound.with_cold_starts_s / bound.zero_wait_s:.2f} times that with its cold starts. All begin with "
        f"{setting.initial} replicas."
    )
    columns: dict[str, Callable[[Row], str]] = {
        "policy": lambda row: str(row["policy"]),
        "cost": lambda row: f"{row['cost_ratio']:.3f}×",
        "late": lambda row: f"{100 * float(row['violations']):.2f} %",
        "turns in a cold start": lambda row: str(row["direction_changes"]),
        "turns": lambda row: str(row["direction_changes_total"]),
        "cost against cold starts paid": lambda row: f"{row['cost_ratio_with_cold_starts']:.3f}×",
        "wait p99": lambda row: f"{row['wait_p99_s']:.2f} s",
        "longest": lambda row: f"{row['wait_max_s']:.1f} s",
    }
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows.values():
        print("| " + " | ".join(cell(row) for cell in columns.values()) + " |")


def print_hindsight(work: Workload, setting: Setting, bound: Bound, promise: float) -> None:
    for every_s in HINDSIGHT_S:
        cost_s, late = cheapest(work, setting, every_s, promise)
        print(
            f"Sized anew every {every_s:.0f} s by someone who knows who will wait, with cold starts for nothing: "
            f"{cost_s / bound.zero_wait_s:.3f}× with {100 * late:.2f} % late."
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.autoscale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", type=Path, help="with --format")
    parser.add_argument("--format", choices=tuple(PROMPT_TOKEN_S))
    parser.add_argument("--generate", choices=tuple(SHAPES), help="traffic of this shape, instead of a trace")
    parser.add_argument("--cold-start-s", type=not_negative, default=30.0)
    parser.add_argument("--policy", choices=("ours", "kpa", "hpa", "static", "all"), default="all")
    parser.add_argument("--json", action="store_true", help="a line of JSON a policy")
    parser.add_argument("--queue", choices=("late-last", "fifo"), default="late-last", help="the same for all policies")
    parser.add_argument("--initial", type=count, help="replicas at the start; by default the static fleet")
    parser.add_argument("--slots", type=count, default=4, help="of a replica")
    parser.add_argument("--wait-s", type=positive, default=1.0, help="a request that waits longer is late")
    parser.add_argument("--late-share", type=share, default=0.005, help="of requests: what ours promises")
    parser.add_argument("--chart", type=Path, help="file for an SVG of cost against late requests")
    given = parser.parse_args()
    if bool(given.trace) == bool(given.generate) or bool(given.trace) != bool(given.format):
        parser.error("name a --trace and its --format, or a shape to --generate")
    return given


def not_negative(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 on")
    return value


def positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def share(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return value


if __name__ == "__main__":
    sys.exit(main())
