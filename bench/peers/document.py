"""docs/performance.md from bench/results/*.json: tables, settings, charts. `python -m bench.peers.document`.

Everything between a pair of marks is ours to rewrite; what stands around it is written by hand.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.deployment import ROOT
from bench.peers import switchyard
from bench.peers.chart import draw
from bench.peers.figures import Median, table
from bench.peers.roster import OURS, PEERS, WORKS

RESULTS = ROOT / "bench" / "results"  # peers.json of bench.peers, latency.json of bench.latency
PAGE = ROOT / "docs" / "performance.md"
CHARTS = ROOT / "docs" / "charts"
CHARTED_CLIENTS = (1, 16, 64)


def write_document(results: Path = RESULTS, page: Path = PAGE, charts: Path = CHARTS) -> None:
    """Remake each part that there are results for."""
    text = replace_part(page.read_text(), "settings", settings_table())
    if (results / "peers.json").is_file():
        told = json.loads((results / "peers.json").read_text())
        rows = msgspec.convert(told["rows"], list[Median])
        charts.mkdir(exist_ok=True)
        for work in works_in(rows):
            chart = draw(WORKS[work], [row for row in rows if row.work == work], CHARTED_CLIENTS, OURS)
            (charts / f"{work}.svg").write_text(chart)
        text = replace_part(text, "figures", figures_part(told, rows))
    if (results / "latency.json").is_file():
        text = replace_part(text, "latency", latency_part(json.loads((results / "latency.json").read_text())))
    page.write_text(text)


def replace_part(text: str, name: str, part: str) -> str:
    """Put `part` between <!-- name --> and <!-- /name -->."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"The page has no part marked {name!r}.")
    return pattern.sub(lambda found: f"{found[1]}{part}\n{found[2]}", text)


def works_in(rows: Sequence[Median]) -> list[str]:
    return [work for work in WORKS if any(row.work == work for row in rows)]


def figures_part(told: dict[str, Any], rows: Sequence[Median]) -> str:
    steal = max((run["figures"]["steal_percent"] for run in told["runs"]), default=0.0)
    parts = [f"{conditions(told)} Stolen by the hypervisor in the worst measurement: {steal} %."]
    for work in works_in(rows):
        chosen = [row for row in rows if row.work == work]
        chart = f"![Requests per second of each server: {WORKS[work]}](charts/{work}.svg)"
        parts.append(f"### {work}: {WORKS[work]}\n\n{table(chosen, OURS)}\n\n{chart}")
    if told["skipped"]:
        parts.append("Left out:\n\n" + "\n".join(f"- {line}" for line in told["skipped"]))
    return "\n\n".join(parts)


def conditions(told: dict[str, Any]) -> str:
    """Where, when, and how loaded: without it no figure means anything."""
    machine, load = told["machine"], told["load_average"]
    changed = ", with changes that are not committed" if told["uncommitted"] else ""
    return (
        f"Commit {told['commit']}{changed}, {told['at']}. {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['system']}, Python {machine['python']}. {told['repeat']} repetitions of {told['seconds']} s. "
        f"Load average (1, 5, 15 minutes) before: {numbers(load['before'])}; after: {numbers(load['after'])}."
    )


def latency_part(told: dict[str, Any]) -> str:
    capacities = ", ".join(f"{server} {rate:.0f}" for server, rate in told["capacity"].items())
    lines = [
        "| part of capacity | requests/s | server | p50 ms | p99 ms | requests | errors | sent late, p99 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(told["rows"], key=lambda row: row["load"]):
        cells = [row["load"], row["rate"], row["server"], row["p50_ms"], row["p99_ms"], row["requests"], row["errors"]]
        lines.append("| " + " | ".join(str(cell) for cell in [*cells, row["sent_late_p99_ms"]]) + " |")
    return f"{conditions(told)} Capacity, requests/s: {capacities}.\n\n" + "\n".join(lines)


def numbers(values: Sequence[float]) -> str:
    return " ".join(str(value) for value in values)


def settings_table() -> str:
    lines = ["| server | version | work | workers | largest batch | longest wait, ms |", "|---|---|---|---|---|---|"]
    for peer in PEERS:
        for label, told in peer.rows:
            batch = "–" if told.max_batch == 1 else str(told.max_batch)
            lines.append(
                f"| {label} | {peer.packages[0]} | {told.work} | {told.workers or 'in its own process'} | {batch} | "
                f"{told.wait_ms:g} |"
            )
    notes = [f"- **{OURS}**: {switchyard.NOTES}.", *(f"- **{peer.name}**: {peer.notes}." for peer in PEERS)]
    return "\n".join(lines) + "\n\n" + "\n".join(notes)


if __name__ == "__main__":
    write_document()
