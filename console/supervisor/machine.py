"""One machine, from nothing to serving and back: what `manage.py up` does.

The data plane needs neither database nor Django, so gateway and controller start beside the migrations, not after
them: that is what brings the first answer under ten seconds.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from console.supervisor import probes
from console.supervisor.check import run_check
from console.supervisor.control import serve_control
from console.supervisor.descendants import await_descendants, become_subreaper, kill_descendants
from console.supervisor.facts import read_facts, write_facts
from console.supervisor.layout import Options, run_dir
from console.supervisor.prepare import prepare
from console.supervisor.programs import Layout, Program, inference, manage, valkey_command
from console.supervisor.screen import Screen
from console.supervisor.supervise import StartFailed, Supervisor

START_S = 60.0
MODEL_S = 120.0
# Edges first, then those who still answer clients, then what all stand on. The lifeline ends before the last.
STOP_ORDER = (("console", "monitor", "jobs"), ("gateway",), ("controller",), ("valkey",))
REPORTED = ("console", "monitor", "jobs", "gateway", "controller", "valkey")


@dataclass(slots=True)
class Machine:
    options: Options
    layout: Layout
    screen: Screen
    supervisor: Supervisor
    facts: dict[str, Any] = field(default_factory=dict)
    interrupts: int = 0
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> int:
        """Start, serve until a signal comes (or the check is done), stop. Returns the exit code."""
        become_subreaper()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.interrupt)
        self.facts = read_facts(self.options.data)
        self.supervisor.on_change = self.publish_facts
        watcher = asyncio.create_task(self.supervisor.watch())
        control = await serve_control(run_dir(self.options.data) / "up.sock", self.act)
        code = 0
        try:
            with self.screen:
                await self.unless_interrupted(self.start())
            if not self.ending.is_set():
                code = await self.serve()
        except StartFailed as error:
            self.screen.note(str(error))
            code = 1
        finally:
            control.close()
            await self.stop()
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
        return code

    async def serve(self) -> int:
        self.screen.box(self.facts)
        if self.options.hold:
            await self.supervisor.hold(self.options.hold)
        follower = asyncio.create_task(self.follow_models())
        try:
            if self.options.check:
                return await run_check(self.facts, self.screen.note)
            await self.ending.wait()
            return 0
        finally:
            follower.cancel()

    async def start(self) -> None:
        """Valkey; then the data plane and the database side by side; then the pages; ready when a model answers."""
        if self.layout.valkey_socket:
            ready = probes.redis_answers(self.layout.redis_url)
            await self.bring_up(Program("valkey", valkey_command(self.layout), ready, tether=True))
        else:
            self.screen.set("valkey", "skipped", "REDIS_URL is given")
        gateway_ready = probes.url_answers(f"{self.layout.gateway_url}/v2/health/live")
        controller_ready = probes.controller_reports(self.layout.redis_url)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.bring_up(Program("controller", inference("controller"), controller_ready, 30.0)))
            group.create_task(self.bring_up(Program("gateway", inference("gateway"), gateway_ready, 30.0)))
            group.create_task(self.start_console())

    async def start_console(self) -> None:
        self.screen.set("database", "starting")
        self.facts |= await prepare(
            self.layout, self.options, self.facts, lambda name, *told: self.screen.set(name, "ready", *told)
        )
        serve = manage("serve", "--host", self.layout.host, "--port", str(self.layout.port))
        console_ready = probes.url_answers(f"{self.layout.console_url}/healthz")
        async with asyncio.TaskGroup() as group:
            group.create_task(self.await_model())
            group.create_task(self.bring_up(Program("console", serve, console_ready)))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.bring_up(Program("monitor", manage("monitor"), probes.at_once)))
            # Last and nice: exports and training would take the cores that the first answer is waiting for.
            jobs = ("nice", "-n", "10", *manage("jobs"))
            group.create_task(self.bring_up(Program("jobs", jobs, probes.at_once)))

    async def await_model(self) -> None:
        """Ready means an answer, not a process: the first model is asked until it gives one.

        One that gives none is said and does not end the start: the console is where its reason can be read.
        """
        model = self.facts["first_model"]
        if not self.options.demo:
            self.screen.set("demo models", "skipped", "--no-demo")
        if model is None:
            self.screen.set("workers", "skipped", "no demo model has traffic")
            return
        began = time.monotonic()
        self.screen.set("workers", "starting", f"loading {model}")
        answers = probes.model_answers(self.layout.gateway_url, model, self.facts["api_key"])
        while not await answers():
            if time.monotonic() - began > MODEL_S:
                self.screen.set("workers", "failed", f"{model} does not answer; its reason is under Workers")
                return
            await asyncio.sleep(0.1)
        self.screen.set("workers", "ready", f"{model} answers", time.monotonic() - began)

    async def follow_models(self) -> None:
        """What goes on in the background is said as it happens."""
        async for note in probes.pool_changes(self.layout.redis_url):
            self.screen.note(note)

    async def bring_up(self, program: Program) -> None:
        self.screen.set(program.name, "starting")
        try:
            seconds = await self.supervisor.start(program, START_S)
        except StartFailed:
            self.screen.set(program.name, "failed")
            raise
        self.screen.set(program.name, "ready", "", seconds)

    async def unless_interrupted(self, work: Coroutine[Any, Any, None]) -> None:
        task, ending = asyncio.create_task(work), asyncio.create_task(self.ending.wait())
        await asyncio.wait({task, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not task.done():
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return
        except BaseExceptionGroup as group:
            raise first_failure(group) from group

    async def act(self, verb: str, name: str) -> str:
        """A second `up` asks: hold a program down, or let it go."""
        if name not in self.supervisor.children:
            raise ValueError(f"No program is called {name!r}. They are {', '.join(self.supervisor.children)}.")
        if verb == "stop":
            await self.supervisor.hold(name)
            return f"{name} is held down; `manage.py up --start {name}` lets it go."
        if verb == "start":
            self.supervisor.release(name)
            return f"{name} starts again."
        raise ValueError(f"{verb!r} is not stop or start.")

    def publish_facts(self) -> None:
        self.facts |= {
            "console_url": self.layout.console_url,
            "gateway_url": self.layout.gateway_url,
            "admin_url": self.layout.admin_url,
            "grpc_url": self.layout.grpc_url,
            "data_dir": str(self.options.data),
            "pids": {name: child.pid for name in REPORTED if (child := self.supervisor.children.get(name))},
        }
        current = read_facts(self.options.data)
        if current.get("admin_user") and current.get("admin_password") is None:
            self.facts["admin_password"] = None  # it was changed in the console meanwhile
        write_facts(self.options.data, self.facts)

    def interrupt(self) -> None:
        self.interrupts += 1
        if self.interrupts == 1:
            self.ending.set()
            return
        self.screen.note("Killing everything at once.")
        self.supervisor.kill()
        kill_descendants(spare=set())

    async def stop(self) -> None:
        self.screen.note("Stopping: console, gateway, controller, workers, valkey.")
        await self.supervisor.stop(STOP_ORDER, lambda: await_descendants(self.supervisor.pids()))
        self.facts["pids"] = {}
        write_facts(self.options.data, self.facts)


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The program that failed to start, dug out of the task groups around it; else whatever comes first."""
    failed: BaseException = group.subgroup(StartFailed) or group
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    return failed
