"""`--processes N`: children share the inference port, their parent owns the admin port and keeps them running.

The kernel spreads connections over the children (SO_REUSEPORT). Each child writes its report as a line of JSON to a
socket of its own, once a second and when it ends. The parent holds their lifeline: however it ends, they drain.
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
from inference.log import get_log

log = get_log()

MAX_REPORT_BYTES = 64 * 1024 * 1024
RESTART_FIRST_S = 0.2
RESTART_LAST_S = 5.0
STEADY_S = 10.0
PERIOD_S = 1.0


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
        self.reports: dict[int, ProcessReport] = {}  # of living children
        self.retired: list[ProcessReport] = []  # at most one: the sum of those that ended
        self.processes: dict[int, asyncio.subprocess.Process] = {}
        self.stopping = asyncio.Event()
        self.lifeline_read, self.lifeline_write = lifeline.open_lifeline()

    def report(self) -> ProcessReport:
        return merge([*self.reports.values(), *self.retired])

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
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_REPORT_BYTES)
        try:
            while line := await reader.readline():
                self.reports[number] = msgspec.json.decode(line, type=ProcessReport)
        except (OSError, ValueError) as error:  # ValueError: a line too long, or no report
            log.error("gateway_child_report_unreadable", child=number, error=str(error))
        finally:
            writer.close()
        code = await process.wait()
        self.processes.pop(number, None)
        last = self.reports.pop(number, None)
        if last is not None:
            self.retired = [merge([*self.retired, retire(last)])]
        return code


class ReportLine:
    """A child's end: writes its report to the parent."""

    def __init__(self, fd: int):
        self.sock = socket.socket(fileno=fd)
        self.sock.settimeout(PERIOD_S)

    def send(self, report: ProcessReport) -> None:
        """The parent reads all the time; if it is gone, so are we soon."""
        with contextlib.suppress(OSError):
            self.sock.sendall(msgspec.json.encode(report) + b"\n")
