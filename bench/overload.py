"""Goodput when more arrives than can be served: our queue beside plain ones, against one who knows the future.

    python -m bench.overload --trace FILE --format azure_llm --load 0.5,0.9,1.5,3 --json

Simulated time, deterministic by seed. A line per load and queue (`ours`, `fifo`, `fifo-bounded`, `fifo-tuned`, `edf`):
the part of a clairvoyant upper bound that was answered in time, the device time spent on answers that came too late,
and what became of the others. Then four scenarios: urgent work under a flood of low priority, servers that become
slow for a while, modest callers beside a greedy one, and short bursts, which are generated. At last what a decision
costs. `docs/overload.md` says how to read them.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

from bench.queueing import chart, scenarios
from bench.queueing.lines import LINES
from bench.queueing.scenarios import Setting
from inference.policy.admission import Admission
from inference.policy.batching import LatencyModel
from inference.policy.waiting import WaitingLine
from inference.simulator.batch_service import Demand, Request
from inference.simulator.clairvoyant import most_in_time
from inference.simulator.durations import Executor
from inference.simulator.traces import FORMATS, BadTrace, read_trace
from inference.simulator.traffic import Traffic

EXCERPT = Path(__file__).parent / "traces/azure_llm_2023_conv.csv"
FLOOD, SLOW_LOAD = 3.0, 1.5  # times the capacity, in the scenarios
BURSTS = ((3.0, 0.1), (3.0, 1.0), (13.0, 0.1), (13.0, 1.0))  # times the capacity, and seconds on average
Row = dict[str, float | int | str | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, default=EXCERPT)
    parser.add_argument("--format", choices=list(FORMATS), default="azure_llm")
    parser.add_argument("--load", default="0.5,0.9,1.5,3", help="parts of the capacity, with commas")
    parser.add_argument("--policy", choices=[*LINES, "all"], default="all")
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--base-ms", type=float, default=10.0, help="a of l(b) = a + c·b")
    parser.add_argument("--row-ms", type=float, default=2.0, help="c of it")
    parser.add_argument("--noise", type=float, default=0.05, help="of a batch's time: deviation of its logarithm")
    parser.add_argument("--batch", type=int, default=32, help="most rows of a batch")
    parser.add_argument(
        "--most-rows", type=int, default=1, help="of a request, by the tokens that the trace says it made"
    )
    parser.add_argument("--timeout-ms", type=float, default=500.0)
    parser.add_argument("--target-ms", type=float, default=0.0, help="what a wait should be while ours stands; 0: off")
    parser.add_argument("--places", type=int, default=512, help="requests that may wait")
    parser.add_argument("--seconds", type=float, default=60.0, help="of simulated time, at least, a load")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--exact", action="store_true", help="with --servers 1: the exact optimum too; minutes")
    parser.add_argument("--chart", type=Path, help="write goodput by load as SVG")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    given = parser.parse_args()
    try:
        loads = sorted({float(load) for load in given.load.split(",")})
        trace = read_trace(given.trace, given.format)
    except (BadTrace, ValueError, OSError) as error:
        parser.error(str(error))
    if len(trace) < 2 or not loads or loads[0] <= 0.0:
        parser.error("Name a trace of two requests or more, and loads above zero.")
    if given.exact and (given.servers, given.most_rows) != (1, 1):
        parser.error("The exact optimum is known for --servers 1 and requests of one row only.")
    if not 1 <= given.most_rows <= given.batch:
        parser.error("--most-rows is at least 1, and at most a batch.")
    executor = Executor(given.base_ms / 1000.0, given.row_ms / 1000.0, given.noise)
    setting = Setting(
        executor, given.servers, given.batch, given.timeout_ms / 1000.0, given.places, given.seconds, given.seed,
        given.most_rows, given.target_ms / 1000.0,
    )  # fmt: skip
    names = LINES if given.policy == "all" else (given.policy,)
    rows = []
    for row in measure(trace, given.trace.name, loads, names, setting, given.exact):
        rows.append(row)
        if given.json:
            print(json.dumps(row), flush=True)
    if not given.json:
        print(table(rows))
    if given.chart:
        given.chart.write_text(draw(rows, loads, names))


def measure(
    trace: Traffic, title: str, loads: list[float], names: tuple[str, ...], setting: Setting, exact: bool
) -> Iterator[Row]:
    once = scenarios.demand_at(trace, 1.0, setting)
    at_capacity = {name: scenarios.goodput(name, once, setting) for name in names}
    for load in loads:
        demand = scenarios.demand_at(trace, load, setting)
        bound = setting.bound(demand)
        best = optimum(demand, setting) if exact else {}
        for name in names:
            figures = scenarios.overload(name, demand, bound, setting)
            against_one = round(figures["goodput_of_capacity"] / at_capacity[name], 4) if at_capacity[name] else None
            named: Row = {"scenario": "overload", "trace": title, "load": load, "policy": name}
            yield named | figures | {"goodput_of_1x": against_one} | best
    for name in names:
        figures = scenarios.priorities(name, trace, FLOOD, setting)
        yield {"scenario": "priorities", "trace": title, "load": FLOOD, "policy": name} | figures
    for name in names:
        figures = scenarios.slowdown(name, trace, SLOW_LOAD, setting)
        yield {"scenario": "slowdown", "trace": title, "load": SLOW_LOAD, "policy": name} | figures
    for name in names:
        figures = scenarios.callers(name, trace, setting)
        yield {"scenario": "callers", "trace": title, "load": FLOOD, "policy": name} | figures
    for times, burst_s in BURSTS:
        demand = scenarios.burst_demand(times, burst_s, setting)
        bound = setting.bound(demand)
        best = optimum(demand, setting) if exact else {}
        for name in names:
            named = {"scenario": "bursts", "load": times, "burst_s": burst_s, "policy": name}
            yield named | scenarios.overload(name, demand, bound, setting) | best
    if "ours" in names:
        yield {"scenario": "cost", "policy": "ours", "us_per_request": round(cost_us(setting), 2)}


def optimum(demand: Demand, setting: Setting) -> Row:
    deadlines = [at_s + setting.timeout_s for at_s in demand.at_s]
    return {"optimum": most_in_time(demand.at_s, deadlines, setting.executor, setting.max_rows)}


def cost_us(setting: Setting, requests: int = 100_000) -> float:
    """Process time of one request's way through the queue, in and out, on a known model and with fair shares; least of
    three, for other processes only ever add to it."""
    taken = []
    for _ in range(3):
        admission = Admission(LatencyModel(), setting.max_rows)
        admission.slots = setting.servers
        for turn in range(200):
            rows = 1 + turn % setting.max_rows
            admission.batch_ended("known", rows, setting.executor.mean_s(rows), 0.0)
        for server in range(setting.servers):
            admission.batch_started(server, setting.max_rows, 0.0)
        line: WaitingLine[Request] = WaitingLine(admission, setting.places)
        works = [Request(number, 3, 1, 0.0, setting.timeout_s, number % 7) for number in range(requests)]
        before = time.process_time()
        for start in range(0, requests, setting.max_rows):
            for work in works[start : start + setting.max_rows]:
                line.offer(work, 0.0)
            line.take(setting.max_rows, setting.max_rows, 0.0)
        taken.append(time.process_time() - before)
    return min(taken) / requests * 1e6


def table(rows: list[Row]) -> str:
    """Each scenario's rows under its own head; `-`: nothing to divide by."""
    text: list[str] = []
    head: tuple[str, ...] = ()
    for row in rows:
        shown = {name: value for name, value in row.items() if name not in {"trace", "scenario"}}
        widths = {name: max(len(name), 12) for name in shown}
        if tuple(shown) != head:
            head = tuple(shown)
            text += ["", str(row["scenario"]), "  ".join(name.rjust(widths[name]) for name in shown)]
        text.append(
            "  ".join(str("-" if value is None else value).rjust(widths[name]) for name, value in shown.items())
        )
    return "\n".join(text).strip()


def draw(rows: list[Row], loads: list[float], names: tuple[str, ...]) -> str:
    measured = [row for row in rows if row["scenario"] == "overload"]
    series = {
        name: [float(row["goodput_of_capacity"] or 0.0) for row in measured if row["policy"] == name] for name in names
    }
    first = [row for row in measured if row["policy"] == names[0]]
    series["bound"] = [float(row["goodput_of_capacity"] or 0.0) / float(row["goodput_ratio"] or 1.0) for row in first]
    return chart.draw("Answered in time, by load", loads, series)


if __name__ == "__main__":
    main()
