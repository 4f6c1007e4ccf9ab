"""Figures of runs: medians over repetitions, and the tables made of them. Pure."""

import statistics
from collections.abc import Iterable, Sequence

import msgspec

from bench.peers.wrk import Figures


class Run(msgspec.Struct, frozen=True):
    """One server at one number of clients, once."""

    work: str
    server: str
    c: int
    figures: Figures


class Median(msgspec.Struct, frozen=True):
    work: str
    server: str
    c: int
    rps: float
    p50_ms: float
    p99_ms: float
    errors: int  # of all repetitions together
    low_rps: float = 0.0
    high_rps: float = 0.0
    repeated: int = 1

    def line(self) -> str:
        """What `--json` prints."""
        fields = ("work", "server", "c", "rps", "p50_ms", "p99_ms", "errors")
        return msgspec.json.encode({name: getattr(self, name) for name in fields}).decode()


def median_of(runs: Sequence[Run]) -> Median:
    """Of repetitions of one row."""
    first, figures = runs[0], [run.figures for run in runs]
    rates = [figure.rps for figure in figures]
    return Median(
        work=first.work,
        server=first.server,
        c=first.c,
        rps=round(statistics.median(rates), 1),
        p50_ms=round(statistics.median(figure.p50_ms for figure in figures), 3),
        p99_ms=round(statistics.median(figure.p99_ms for figure in figures), 3),
        errors=sum(figure.errors for figure in figures),
        low_rps=min(rates),
        high_rps=max(rates),
        repeated=len(runs),
    )


def medians(runs: Iterable[Run]) -> list[Median]:
    """One for each row and number of clients, in the order in which they were first seen."""
    grouped: dict[tuple[str, str, int], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.work, run.server, run.c), []).append(run)
    return [median_of(group) for group in grouped.values()]


def table(rows: Sequence[Median], ours: str) -> str:
    """Markdown for one work: a line a server, its columns by number of clients; ratios are ours to theirs."""
    counts = sorted({row.c for row in rows})
    servers = list(dict.fromkeys(row.server for row in rows))
    found = {(row.server, row.c): row for row in rows}
    head = ["server"]
    for count in counts:
        head += [f"c={count} req/s", "ours ×", "p50 ms", "p99 ms"]
    lines = ["| " + " | ".join([*head, "errors"]) + " |", "|---" * (len(head) + 1) + "|"]
    for server in servers:
        cells = [f"**{server}**" if server == ours else server]
        for count in counts:
            cells += cells_of(found.get((server, count)), found.get((ours, count)))
        cells.append(str(sum(row.errors for row in rows if row.server == server)))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cells_of(row: Median | None, ours: Median | None) -> list[str]:
    if row is None:
        return ["–"] * 4
    spread = f" ({number(row.low_rps)}–{number(row.high_rps)})" if row.repeated > 1 else ""
    ratio = f"{ours.rps / row.rps:.2f}" if ours and ours is not row and row.rps else "–"
    return [number(row.rps) + spread, ratio, f"{row.p50_ms:.2f}", f"{row.p99_ms:.1f}"]


def number(value: float) -> str:
    return f"{value:,.0f}"
