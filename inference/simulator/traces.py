"""Real arrivals, read from published traces: a line a request.

`azure_llm`: CSV with TIMESTAMP, ContextTokens, GeneratedTokens (Azure's LLM inference traces).
`mooncake`: JSON lines with timestamp in milliseconds, input_length, output_length (Kimi's traces).

A file may be packed with xz or gzip. Times start at the first request; lines out of order are put in order.
"""

import csv
import gzip
import lzma
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from inference.simulator.traffic import Traffic
from inference.spec import Count

Row = tuple[float, int, int]  # seconds on the trace's own clock, tokens in, tokens out


class BadTrace(ValueError):
    """A line of a trace is not what its format says. The message names the line and what was expected."""


class MooncakeLine(msgspec.Struct):
    timestamp: float
    input_length: Count = 0
    output_length: Count = 0


def read_azure_llm(lines: Iterable[str]) -> Iterator[Row]:
    rows = csv.DictReader(lines, restval="")  # what is missing in a row is read as empty, and refused
    missing = {"TIMESTAMP", "ContextTokens", "GeneratedTokens"} - set(rows.fieldnames or ())
    if missing:
        raise BadTrace(f"line 1: no column {', '.join(sorted(missing))}; is this an azure_llm trace?")
    for row in rows:
        try:
            yield read_moment(row["TIMESTAMP"]), read_count(row["ContextTokens"]), read_count(row["GeneratedTokens"])
        except (TypeError, ValueError) as error:
            raise BadTrace(f"line {rows.line_num}: {error}; expected a time and two token counts.") from None


def read_count(text: str) -> int:
    return msgspec.convert(int(text), Count)


def read_moment(text: str) -> float:
    """`2023-11-16 18:15:46.6805900`, with or without a zone, as seconds since 1970. Python reads six decimals; these
    traces have seven."""
    head, dot, fraction = text.strip().partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    moment = datetime.fromisoformat(head + fraction[len(digits) :])
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return seconds + (float(f"0.{digits}") if dot and digits else 0.0)


def read_mooncake(lines: Iterable[str]) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(MooncakeLine)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise BadTrace(f"line {number}: {error}; expected timestamp, input_length and output_length.") from None
        yield row.timestamp / 1000.0, row.input_length, row.output_length


FORMATS: dict[str, Callable[[Iterable[str]], Iterator[Row]]] = {
    "azure_llm": read_azure_llm,
    "mooncake": read_mooncake,
}


def read_trace(path: Path, format: str) -> Traffic:
    """The requests of a file, in order. Raises BadTrace for a line that is not of the format, an unknown format, or
    negative sizes; an empty trace is traffic of no requests in no time."""
    reader = FORMATS.get(format)
    if reader is None:
        raise BadTrace(f"No trace format is called {format!r}; known are {', '.join(FORMATS)}.")
    with open_text(path) as lines:
        try:
            rows = list(reader(lines))
        except (csv.Error, UnicodeDecodeError) as error:  # a field without end, bytes that are no text
            raise BadTrace(f"{path.name}: {error}; is this {format}?") from None
    if not rows:
        return Traffic(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 0.0)
    table = np.array(rows, dtype=np.float64)
    table = table[np.argsort(table[:, 0], kind="stable")]
    at_s = table[:, 0] - table[0, 0]
    # The last request stands for a mean gap too, else a trace of one request would have no length.
    span_s = float(at_s[-1])
    mean_gap_s = span_s / (len(at_s) - 1) if len(at_s) > 1 and span_s > 0 else 1.0
    tokens = table[:, 1:].astype(np.int64)
    return Traffic(at_s, tokens[:, 0].copy(), tokens[:, 1].copy(), span_s + mean_gap_s)


def open_text(path: Path) -> IO[str]:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8-sig")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")  # Azure's files begin with a byte-order mark
