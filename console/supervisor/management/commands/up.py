"""`manage.py up`: the whole product on this machine, in one command."""

import argparse
import asyncio
import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console.supervisor.control import ask
from console.supervisor.facts import read_facts
from console.supervisor.layout import Options, plan_layout, run_dir
from console.supervisor.machine import REPORTED, Machine
from console.supervisor.screen import Screen
from console.supervisor.supervise import Supervisor

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ROWS = (
    "valkey", "database", "demo models", "controller", "workers", "gateway", "monitor", "jobs", "console",
)  # fmt: skip


class Command(BaseCommand):
    help = "Run the whole product on this machine: console, gateway, controller, workers, Valkey and a database."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, help="folder for everything that is kept (default: ./data)")
        parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port of the console")
        parser.add_argument("--gateway-port", type=int, default=8080, help="port for inference")
        parser.add_argument("--grpc-port", type=int, default=8081, help="port for inference over gRPC; 0 for none")
        parser.add_argument("--admin-port", type=int, default=8082, help="port for /metrics and health")
        parser.add_argument("--no-demo", action="store_true", help="start without the demo models")
        parser.add_argument("--workers", type=int, help="at most this many workers")
        parser.add_argument("--device", default="", help="cpu or cuda:0")
        parser.add_argument("--check", action="store_true", help="go through the first five minutes, stop, exit 0")
        parser.add_argument("--stop", metavar="NAME", default="", help="hold one program down (drills)")
        parser.add_argument("--start", metavar="NAME", default="", help="let a held program go")

    def handle(self, **flags: Any) -> None:
        throwaway = flags["check"] and not flags["data"]
        with tempfile.TemporaryDirectory(prefix="sy-check-", ignore_cleanup_errors=True) as scratch:
            data = Path(scratch) if throwaway else (flags["data"] or settings.DATA_DIR)
            self.run_on(data.absolute(), flags)

    def run_on(self, data: Path, flags: dict[str, Any]) -> None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (data / "up.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self.speak_to_running(data, flags)
                return
            if flags["start"]:
                raise CommandError(f"Nothing runs on {data}, so nothing is held. `manage.py up` starts it all.")
            code = asyncio.run(self.run_machine(data, flags))
        if code:
            raise SystemExit(code)

    def speak_to_running(self, data: Path, flags: dict[str, Any]) -> None:
        """Another `up` holds this folder: pass a drill on to it, or say where it is."""
        for verb in ("stop", "start"):
            if flags[verb]:
                reply = ask(run_dir(data) / "up.sock", verb, flags[verb])
                if "error" in reply:
                    raise CommandError(reply["error"])
                self.stdout.write(reply["ok"])
                return
        facts = read_facts(data)
        self.stdout.write(f"Switchyard already runs on {data}: {facts.get('console_url')}")

    async def run_machine(self, data: Path, flags: dict[str, Any]) -> int:
        options = Options(
            data=data, host=flags["host"], port=flags["port"], gateway_port=flags["gateway_port"],
            grpc_port=flags["grpc_port"], admin_port=flags["admin_port"], demo=not flags["no_demo"],
            workers=flags["workers"], device=flags["device"], check=flags["check"], hold=flags["stop"],
        )  # fmt: skip
        if options.hold and options.hold not in REPORTED:
            raise CommandError(f"--stop takes one of {', '.join(REPORTED)}; {options.hold!r} is none of them.")
        refuse_open_door(options)
        screen = Screen.of(ROWS)
        try:
            layout = plan_layout(options, screen.note)
        except OSError as error:
            raise CommandError(str(error)) from error
        supervisor = Supervisor(layout.environment(), data / "log", screen.note)
        return await Machine(options, layout, screen, supervisor).run()


def refuse_open_door(options: Options) -> None:
    """A password that was printed to a terminal, and lies in a file, must not guard a door to the network."""
    if options.host in LOOPBACK or os.environ.get("SWITCHYARD_ADMIN_PASSWORD"):
        return
    facts = read_facts(options.data)
    if facts.get("admin_user") and facts.get("admin_password") is None:
        return  # it was changed since
    raise CommandError(
        f"--host {options.host} would open the console to the network with a generated password. "
        "Set SWITCHYARD_ADMIN_PASSWORD for a first start, or change the password in the console, then start again."
    )
