"""The line between a gateway's parent and one of its children: a child's reports go up, the sum comes down.

Both ways a message is one line of JSON. A child reports once a second, when it ends, and when it is asked. Who wants
the sum of all processes asks the parent, which asks every child first: so a client that counts its own requests finds
them counted, whichever process it reached.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import msgspec
from msgspec import Struct

from inference.errors import NotReady
from inference.gateway.report import ProcessReport

MAX_LINE_BYTES = 64 * 1024 * 1024
PERIOD_S = 1.0
ASK_S = 5.0  # a child that is silent for longer hangs; a machine with too much to do lets one wait for a second or two
PATIENCE_S = 2 * ASK_S + 1.0  # who asks while a question is on its way waits for its answer, and for that of the next
MAX_OPEN = 64


class Up(Struct):
    report: ProcessReport
    ask: int = 0  # for the sum: the number of this question
    answers: int = 0  # the number of the question that this report answers


class Down(Struct):
    sum: ProcessReport | None = None  # without one: report now
    number: int = 0  # of the question that this is, or that the sum answers


class ReportLine:
    """A child's end."""

    def __init__(self, fd: int, report: Callable[[], ProcessReport], patience_s: float = PATIENCE_S):
        self.sock = socket.socket(fileno=fd)
        self.report = report
        self.patience_s = patience_s
        self.writer: asyncio.StreamWriter | None = None
        self.questions = 0
        self.asked: asyncio.Future[ProcessReport] | None = None  # on its way
        self.next: asyncio.Future[ProcessReport] | None = None  # sent when that has come

    async def run(self) -> None:
        """Report and listen until cancelled, or until the parent is gone: our lifeline ends then too."""
        reader, self.writer = await asyncio.open_connection(sock=self.sock, limit=MAX_LINE_BYTES)
        periodic = asyncio.create_task(self.report_forever())
        try:
            while line := await reader.readline():
                down = msgspec.json.decode(line, type=Down)
                if down.sum is None:
                    self.send(answers=down.number)
                elif self.asked is not None and down.number == self.questions:  # not the late answer to an older one
                    asked, self.asked = self.asked, None
                    if not asked.done():
                        asked.set_result(down.sum)
                    self.ask()
        finally:
            periodic.cancel()

    async def report_forever(self) -> None:
        while True:
            self.send()
            await asyncio.sleep(PERIOD_S)

    def send(self, ask: int = 0, answers: int = 0) -> None:
        if self.writer is None or self.writer.transport.get_write_buffer_size() > MAX_LINE_BYTES:
            return
        self.writer.write(msgspec.json.encode(Up(self.report(), ask, answers)) + b"\n")

    async def sum(self) -> ProcessReport:
        """All processes together, none of them older than this call but those that hang. Raises NotReady while the
        parent is silent."""
        if self.next is None:
            self.next = asyncio.get_running_loop().create_future()
        wanted = self.next
        self.ask()
        try:
            return await asyncio.wait_for(asyncio.shield(wanted), self.patience_s)
        except TimeoutError:
            self.asked = None  # the next who asks tries again
            raise NotReady("The processes of this gateway did not report in time; try again.") from None

    def ask(self) -> None:
        """One question is on its way at most; who comes meanwhile shares the one after it."""
        if self.asked is None and self.next is not None:
            self.asked, self.next = self.next, None
            self.questions += 1
            self.send(ask=self.questions)

    async def close(self) -> None:
        """The last report, and time for it to be read."""
        if self.writer is None:
            return
        self.send()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PERIOD_S):
                await self.writer.drain()
        self.writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PERIOD_S):
                await self.writer.wait_closed()


class ChildLine:
    """The parent's end of one line."""

    def __init__(self, writer: asyncio.StreamWriter):
        self.writer = writer
        self.last: ProcessReport | None = None
        self.questions = 0
        self.open: dict[int, asyncio.Future[None]] = {}  # questions not answered yet

    def take(self, up: Up) -> None:
        self.last = up.report
        future = self.open.pop(up.answers, None)
        if future is not None and not future.done():
            future.set_result(None)

    def fresh(self) -> asyncio.Future[None]:
        """Done when the child has reported what it counted up to now, or has ended."""
        if len(self.open) >= MAX_OPEN:  # it hangs; one more question would not wake it
            return next(iter(self.open.values()))
        self.questions += 1
        future = self.open[self.questions] = asyncio.get_running_loop().create_future()
        self.send(Down(number=self.questions))
        return future

    def send(self, down: Down) -> None:
        if not self.writer.is_closing():
            self.writer.write(msgspec.json.encode(down) + b"\n")

    def close(self) -> None:
        self.writer.close()
        for future in self.open.values():
            if not future.done():
                future.set_result(None)
        self.open.clear()
