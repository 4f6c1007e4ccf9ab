"""What a child says to its parent, and what it believes of what comes back; the test is the parent."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from inference.errors import NotReady
from inference.gateway.report import ProcessReport
from inference.gateway.report_line import ASK_S, PATIENCE_S, Down, ReportLine, Up


class Parent:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader = reader
        self.writer = writer

    async def question(self) -> int:
        """The number of the next question; what else the child reports is passed over."""
        while True:
            up = msgspec.json.decode(await self.reader.readline(), type=Up)
            if up.ask:
                return up.ask

    def answer(self, question: int, accepted: int) -> None:
        self.writer.write(msgspec.json.encode(Down(ProcessReport(0.0, accepted=accepted), question)) + b"\n")


@asynccontextmanager
async def lined(patience_s: float) -> AsyncIterator[tuple[ReportLine, Parent]]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    line = ReportLine(theirs.detach(), lambda: ProcessReport(0.0), patience_s)
    running = asyncio.create_task(line.run())
    await reader.readline()  # the first report: it runs
    yield line, Parent(reader, writer)
    writer.close()
    await running


@pytest.mark.asyncio
async def test_who_asks_together_shares_one_answer_and_who_comes_later_gets_a_newer_one() -> None:
    async with lined(PATIENCE_S) as (line, parent):
        first = asyncio.create_task(line.sum())
        one = await parent.question()
        later = [asyncio.create_task(line.sum()) for _ in range(3)]
        await asyncio.sleep(0)
        parent.answer(one, accepted=10)
        assert (await first).accepted == 10
        parent.answer(await parent.question(), accepted=11)
        assert [report.accepted for report in await asyncio.gather(*later)] == [11, 11, 11]


@pytest.mark.asyncio
async def test_the_late_answer_to_an_older_question_is_not_taken_for_the_newer_one() -> None:
    async with lined(0.01) as (line, parent):
        with pytest.raises(NotReady, match="try again"):
            await line.sum()
        line.patience_s = PATIENCE_S
        newer = asyncio.create_task(line.sum())
        old, new = await parent.question(), await parent.question()
        parent.answer(old, accepted=10)
        parent.answer(new, accepted=12)
        assert (await newer).accepted == 12


def test_who_asks_waits_for_a_hanging_child_of_the_question_before_and_of_its_own() -> None:
    assert PATIENCE_S > 2 * ASK_S
