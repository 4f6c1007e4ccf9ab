"""What `up` shows: a table that fills in, then a box with all there is to know, then one stream of notes.

Without a terminal it is plain lines, one a change, so that a log or a pipe reads as well.
"""

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

STYLES = {"waiting": "dim", "starting": "cyan", "ready": "green", "failed": "bold red", "skipped": "dim"}


@dataclass(slots=True)
class Row:
    state: str = "waiting"
    detail: str = ""
    seconds: float | None = None


@dataclass(slots=True)
class Screen:
    rows: dict[str, Row]
    console: Console = field(default_factory=lambda: Console(highlight=False))
    live: Live | None = None

    @classmethod
    def of(cls, names: tuple[str, ...]) -> "Screen":
        return cls({name: Row() for name in names})

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live = Live(self.table(), console=self.console, refresh_per_second=10)
            self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.update(self.table())
            self.live.__exit__(kind, error, trace)
            self.live = None

    def set(self, name: str, state: str, detail: str = "", seconds: float | None = None) -> None:
        row = self.rows.setdefault(name, Row())
        if (row.state, row.detail) == (state, detail):
            return
        row.state, row.detail, row.seconds = state, detail, seconds
        if self.live:
            self.live.update(self.table())
        elif state not in ("waiting", "starting"):
            took = f"{seconds:5.1f} s" if seconds is not None else "       "
            self.console.print(f"{name:<12} {state:<8} {took}  {detail}".rstrip(), soft_wrap=True)

    def table(self) -> Table:
        table = Table(box=None, padding=(0, 2), show_header=False)
        for name, row in self.rows.items():
            took = f"{row.seconds:.1f} s" if row.seconds is not None else ""
            table.add_row(name, Text(row.state, STYLES[row.state]), took, Text(row.detail, "dim"))
        return table

    def note(self, text: str) -> None:
        """One line of the stream that follows the box."""
        self.console.print(f"{time.strftime('%H:%M:%S')}  {text}", soft_wrap=True, markup=False)

    def box(self, facts: dict[str, object]) -> None:
        password = facts["admin_password"] or "the one you set; `manage.py changepassword` makes a new one"
        lines = {
            "Console": facts["console_url"],
            "Log in once": facts["login_url"],
            "User": facts["admin_user"],
            "Password": password,
            "Gateway": facts["gateway_url"],
            "gRPC": facts["grpc_url"] or "off",
            "API key": facts["api_key"] or "none yet: make one under Settings, API keys",
            "Metrics": f"{facts['admin_url']}/metrics",
            "Data": facts["data_dir"],
        }
        text = "\n".join(f"{name:<12} {value}" for name, value in lines.items())
        end = "Ctrl-C stops in order, Ctrl-C twice kills."
        if self.console.is_terminal:
            self.console.print(Panel(Text(f"{text}\n\n{end}"), title="Switchyard is up", expand=False, padding=(1, 3)))
        else:
            self.console.print(f"\nSwitchyard is up\n{text}\n{end}", soft_wrap=True, markup=False)
        sys.stdout.flush()
