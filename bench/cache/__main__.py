"""All traces of docs/caching.md at all sizes, with its tables and chart: `python -m bench.cache --traces FOLDER`.

FOLDER holds the files under the names below; where they come from is on that page. What is missing is left out and
said. --peers asks libcachesim and theine as well (`python -m bench.cache_replay --setup`); --curves measures the
miss-ratio curve; --document remakes the page's figures and its chart from what was measured.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.cache import peers
from bench.cache.chart import draw
from bench.cache.curves import measure_curve
from bench.cache.replay import Figures, replay
from bench.cache.traces import TraceError, read_trace
from bench.deployment import ROOT
from inference.policy.cache.registry import STRATEGIES

PAGE, CHART = ROOT / "docs" / "caching.md", ROOT / "docs" / "charts" / "caching.svg"


@dataclass(frozen=True)
class Work:
    label: str
    file: str
    format: str
    capacities: tuple[int, ...]
    limit: int | None = None


WORKS = (
    Work("web12", "cache2k_web12.u32be.xz", "u32be", (137, 687, 1375)),
    Work("orm-busy, first 300,000", "cache2k_orm_busy.u32be.xz", "u32be", (263, 2638), 300_000),
    Work("scarab-recs, first 300,000", "scarab_recs.i64be.xz", "i64be", (945, 9455), 300_000),
    Work("Mooncake conversation", "mooncake_conversation.jsonl", "mooncake", (1827, 18279)),
    Work("ARC OLTP", "arc_oltp.txt.gz", "oltp", (1000, 2000)),
)
BELADY = "libcachesim:Belady"
OTHERS = {
    "theine:WTinyLFU": "theine", "libcachesim:TwoQ": "2Q", "libcachesim:LIRS": "LIRS", BELADY: "Belady",
}  # fmt: skip
Row = dict[str, float]  # strategy → hit ratio


def main() -> int:
    given = arguments()
    rows, speeds, curves = [], [], []
    for work in WORKS:
        try:
            keys = read_trace(find(given.traces, work.file), work.format, work.limit)
        except (TraceError, OSError) as error:
            say(f"{work.label} is left out: {error}")
            continue
        for capacity in work.capacities:
            figures = [fastest(keys, name, capacity, given.rounds) for name in STRATEGIES]
            ratios = {each.strategy: each.hit_ratio or 0.0 for each in figures}
            if given.peers:
                found = peers.replay_peers(peers.DEFAULT, keys, capacity, (*peers.NAMES.values(), *peers.OTHERS))
                ratios |= {each.strategy: each.hit_ratio or 0.0 for each in found}
            rows.append((f"{work.label} @ {capacity:,}", ratios))
            speeds.append({each.strategy: each.request_ns or 0.0 for each in figures})
            print(json.dumps({"trace": work.label, "capacity": capacity} | rounded(ratios)), flush=True)
        if given.curves:
            curves.append((work.label, measure_curve(keys)))
            print(json.dumps({"trace": work.label} | asdict(curves[-1][1])), flush=True)
    if given.document and rows:
        CHART.write_text(draw(rows))
        text = replace(PAGE.read_text(), "figures", tables(rows))
        text = replace(text, "speed", speed_table(speeds, rows))
        if curves:
            text = replace(text, "curves", curve_table(curves))
        PAGE.write_text(text)
    return 0 if rows else 1


def fastest(keys: list[int], name: str, capacity: int, rounds: int) -> Figures:
    """What else the machine does can only add to a time."""
    return min((replay(keys, name, capacity) for _ in range(rounds)), key=lambda each: each.request_ns or 0.0)


def find(folder: Path, file: str) -> Path:
    return next(iter(sorted(folder.rglob(file))), folder / file)


def rounded(row: Row) -> Row:
    return {name: round(ratio, 4) for name, ratio in row.items()}


def tables(rows: list[tuple[str, Row]]) -> str:
    others = [name for name in OTHERS if name in rows[0][1]]
    names = [*STRATEGIES, *others]
    # The optimum knows the future, so it is no rival.
    rivals = [name for name in names if name not in ("adaptive", BELADY)]
    titles = [*STRATEGIES, *(OTHERS[name] for name in others)]
    lines = [
        f"| trace @ objects | {' | '.join(titles)} | adaptive over the best | over LRU |",
        "|---" * (len(names) + 3) + "|",
    ]
    for label, row in rows:
        best = max(row[name] for name in rivals)
        told = (f"**{row[name]:.2%}**" if row[name] == best else f"{row[name]:.2%}" for name in names)
        over = (100 * (row["adaptive"] - other) for other in (best, row["lru"]))
        lines.append(f"| {label} | {' | '.join(told)} | {' | '.join(f'{points:+.2f}' for points in over)} |")
    twins = [(name, f"{library}:{there}") for name, (library, there) in peers.NAMES.items() if library == "libcachesim"]
    if others:
        apart = [f"{name} {100 * max(abs(row[name] - row[twin]) for _, row in rows):.3f}" for name, twin in twins]
        lines += ["", f"Largest distance to libcachesim, in points: {', '.join(apart)}."]
    return "\n".join(lines)


def speed_table(speeds: list[Row], rows: list[tuple[str, Row]]) -> str:
    lines = ["| strategy | ns, fastest row | median | slowest | times LRU's, median |", "|---|---|---|---|---|"]
    for name in STRATEGIES:
        # A miss is two operations: the look-up, and the insertion with its eviction.
        times = sorted(speed[name] / (2.0 - row[name]) for speed, (_, row) in zip(speeds, rows, strict=True))
        ratio = sorted(row[name] / row["lru"] for row in speeds)[len(speeds) // 2]
        middle = times[len(times) // 2]
        lines.append(f"| {name} | {times[0]:.0f} | {middle:.0f} | {times[-1]:.0f} | {ratio:.1f} |")
    return "\n".join(lines)


def curve_table(curves: list) -> str:
    lines = ["| trace | different keys | mean error | largest error | memory held | ns a request |", "|---" * 6 + "|"]
    for label, each in curves:
        lines.append(
            f"| {label} | {each.distinct:,} | {each.mean_error:.4f} | {each.max_error:.4f} | "
            f"{each.held_bytes / 1e6:.2f} MB | {each.request_ns:.0f} |"
        )
    return "\n".join(lines)


def replace(text: str, name: str, new: str) -> str:
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = text.split(start)
    return f"{before}{start}\n{new}\n{end}{rest.split(end)[1]}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.cache", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True, help="folder with the files, at any depth")
    parser.add_argument("--rounds", type=int, default=3, help="of each replay; the fastest counts")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--document", action="store_true")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
