"""`--processes N`: children share the inference port, their parent owns the admin port and keeps them running.

The kernel spreads connections over the children (SO_REUSEPORT). Each child reports over a line of its own
(`report_line`), once a second, when asked, and when it ends. The parent holds their lifeline: however it ends, they
drain.
"""

import asyncio
import contextlib
import os
import socket
import sys
from time import monotonic

import msgspec

from inference import lifeline
from inference.config import Config
from inference.gateway.report import ProcessReport, merge, retire
from inference.gateway.report_line import ASK_S, MAX_LINE_BYTES, ChildLine, Down, Up
from inference.log import get_log

log = get_log()

RESTART_FIRST_S = 0.2
RESTART_LAST_S = 5.0
STEADY_S = 10.0


def reserve_port(host: str, port: int) -> socket.socket:
    """Hold the port for the children, also while all of them restart. Raises OSError when another program has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


class Children:
    """The children and the sum of what they report."""

    def __init__(self, config: Config, count: int, command: list[str]):
        self.config = config
        self.count = count
        self.command = command
        self.lines: dict[int, ChildLine] = {}  # of living children
        self.retired: list[ProcessReport] = []  # at most one: the sum of those that ended
        self.processes: dict[int, asyncio.subprocess.Process] = {}
        self.stopping = asyncio.Event()
        self.answers: set[asyncio.Task[None]] = set()
        self.lifeline_read, self.lifeline_write = lifeline.open_lifeline()

    def report(self) -> ProcessReport:
        living = [line.last for line in self.lines.values() if line.last is not None]
        return merge([*living, *self.retired])

    async def answer(self, asker: ChildLine, question: int) -> None:
        """Send the sum, once all others have reported anew. One that hangs is counted as it last was."""
        others = [line.fresh() for line in self.lines.values() if line is not asker]
        if others:
            await asyncio.wait(others, timeout=ASK_S)
        asker.send(Down(self.report(), question))

    async def run(self, stop: asyncio.Event) -> None:
        """Keep all children running until asked to stop; then let them drain."""
        keepers = [asyncio.create_task(self.keep(number), name=f"child {number}") for number in range(self.count)]
        await stop.wait()
        self.stopping.set()
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        try:
            async with asyncio.timeout(self.config.drain_s + 5.0):
                await asyncio.gather(*keepers)
        except TimeoutError:
            for process in self.processes.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await asyncio.gather(*keepers, return_exceptions=True)
        os.close(self.lifeline_write)
        os.close(self.lifeline_read)

    async def keep(self, number: int) -> None:
        pause_s = RESTART_FIRST_S
        while not self.stopping.is_set():
            began_s = monotonic()
            code = await self.run_child(number)
            if self.stopping.is_set():
                return
            pause_s = RESTART_FIRST_S if monotonic() - began_s > STEADY_S else min(RESTART_LAST_S, pause_s * 2)
            log.error("gateway_child_ended", child=number, exit_code=code, restart_in_s=pause_s)
            await asyncio.sleep(pause_s)

    async def run_child(self, number: int) -> int:
        ours, theirs = socket.socketpair()
        environ = {**os.environ, lifeline.VARIABLE: str(self.lifeline_read)}
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "inference", "gateway", *self.command,
                "--child", str(number), "--report-fd", str(theirs.fileno()),
                env=environ, pass_fds=(theirs.fileno(), self.lifeline_read),
                stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        self.processes[number] = process
        if self.stopping.is_set():
            process.terminate()
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
        line = self.lines[number] = ChildLine(writer)
        try:
            while raw := await reader.readline():
                up = msgspec.json.decode(raw, type=Up)
                line.take(up)
                if up.ask:
                    task = asyncio.create_task(self.answer(line, up.ask))
                    self.answers.add(task)
                    task.add_done_callback(self.answers.discard)
        except (OSError, ValueError) as error:  # ValueError: a line too long, or no report
            log.error("gateway_child_report_unreadable", child=number, error=str(error))
        finally:
            line.close()
        code = await process.wait()
        self.processes.pop(number, None)
        del self.lines[number]
        if line.last is not None:
            self.retired = [merge([*self.retired, retire(line.last)])]
        return code
