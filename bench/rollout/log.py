"""Request logs: who asked, whether it failed, how long it took. CSV, plain or packed with gz or xz.

`gentd26`      columns predict_status (FAILED, SUCCEED, else unfinished), exec_time_seconds, groupId (the client)
`latency_csv`  a latency column, the first found of LATENCY, else the last that is a number; optionally a status or
               failure column of FAILURE and a client column of CLIENT. Without a client each row is a client of its own
Rows are put in the order of their time where they have one. The unit of latency does not matter: ranks decide.
"""

import csv
import gzip
import io
import lzma
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FORMATS = ("gentd26", "latency_csv")
TIME = ("gmt_create", "timestamp_anon", "timestamp", "time", "ts", "date", "end_timestamp")
LATENCY = (
    "latency_s", "latency_ms", "latency", "duration_s", "duration_ms", "duration", "response_time", "elapsed", "value",
)  # fmt: skip
FAILURE = ("failed", "failure", "error", "status", "status_code", "success", "ok")
CLIENT = ("key", "client", "client_id", "user", "user_id", "groupid", "session", "tenant")


@dataclass(frozen=True)
class Log:
    """One entry a request. `latency` is NaN where the request failed, did not finish, or was not measured."""

    name: str
    latency: np.ndarray
    failed: np.ndarray
    client: np.ndarray  # 0 … clients - 1
    named: bool = True  # whether a column says who the clients are
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.latency)

    @property
    def clients(self) -> int:
        return int(self.client.max()) + 1 if len(self) else 0


def read_log(path: Path, kind: str) -> Log:
    """Raises ValueError where the file has no rows or no latency."""
    header, rows = read_rows(path)
    if not rows:
        raise ValueError(f"{path.name} has no rows.")
    notes = []
    times = column(header, rows, TIME)
    if times is not None:
        rows = [rows[place] for place in by_time(times)]
    if kind == "gentd26":
        latency, failed = gentd26(header, rows, path.name)
        client = column(header, rows, ("groupid",))
    else:
        latency, failed = latency_csv(header, rows, path.name)
        client = column(header, rows, CLIENT)
    if client is None:
        notes.append("no column names a client, so each row is a client of its own and sticky equals request")
        numbers = np.arange(len(rows))
    else:
        numbers = np.unique(np.array(client), return_inverse=True)[1]
    if not failed.any():
        notes.append("the log has no failures; injected errors multiply a share of 1 %, put into both arms")
    return Log(path.name, np.where(failed, np.nan, latency), failed, numbers, client is not None, tuple(notes))


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    raw = path.read_bytes()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    elif path.suffix == ".xz":
        raw = lzma.decompress(raw)
    rows = [row for row in csv.reader(io.StringIO(raw.decode("utf-8-sig", "replace"))) if row]
    if rows and any(math.isfinite(number(cell)) for cell in rows[0]):
        return [f"column {place}" for place in range(len(rows[0]))], rows  # no header
    header = [name.strip().lower() for name in rows[0]] if rows else []
    return header, [row for row in rows[1:] if len(row) == len(header)]


def column(header: list[str], rows: list[list[str]], names: tuple[str, ...]) -> list[str] | None:
    place = next((header.index(name) for name in names if name in header), None)
    return None if place is None else [row[place] for row in rows]


def by_time(times: list[str]) -> list[int]:
    """Stable; as numbers where all are numbers, else as text, which is right for ISO times."""
    values = [number(text) for text in times]
    if all(math.isfinite(value) for value in values):
        return sorted(range(len(values)), key=values.__getitem__)
    return sorted(range(len(times)), key=times.__getitem__)


def gentd26(header: list[str], rows: list[list[str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    status, took = column(header, rows, ("predict_status",)), column(header, rows, ("exec_time_seconds",))
    if status is None or took is None:
        raise ValueError(f"{name} lacks predict_status or exec_time_seconds; is it of the format gentd26?")
    good = np.array([text == "SUCCEED" for text in status])
    latency = np.array([number(text) for text in took])
    return np.where(good, latency, np.nan), np.array([text == "FAILED" for text in status])


def latency_csv(header: list[str], rows: list[list[str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    took = column(header, rows, LATENCY)
    if took is None:
        numeric = [place for place in range(len(header)) if math.isfinite(number(rows[0][place]))]
        if not numeric:
            raise ValueError(f"{name} has no column of numbers; its columns are {', '.join(header)}.")
        took = [row[numeric[-1]] for row in rows]
    for title in FAILURE:
        marks = column(header, rows, (title,))
        if marks is not None:
            bad = [is_failure(mark, good=title in ("success", "ok")) for mark in marks]
            return np.array([number(text) for text in took]), np.array(bad)
    return np.array([number(text) for text in took]), np.zeros(len(rows), bool)


def is_failure(mark: str, *, good: bool) -> bool:
    """Whether a mark says that the request failed; `good`: whether the column's yes means success."""
    text = mark.strip().lower()
    if text.isdigit() and len(text) == 3:
        return int(text) >= 500
    if text in ("1", "true", "yes", "0", "false", "no", ""):
        return (text in ("1", "true", "yes")) is not good
    return text.startswith(("fail", "err", "timeout"))


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
