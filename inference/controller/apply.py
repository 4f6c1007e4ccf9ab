"""Doing what was decided: jobs for the driver, names and addresses for new replicas."""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Container
from pathlib import Path

from inference.controller.roster import Roster
from inference.drivers.base import Driver, Job
from inference.policy.reconcile import Drain, Forget, Kill, Start, Stop

MAX_SOCKET_BYTES = 100  # the kernel takes 107


class Applier:
    def __init__(self, driver: Driver, roster: Roster, data: Path, node: str, pool: str, drain_s: float):
        self.driver = driver
        self.roster = roster
        self.data = data
        self.node = node
        self.pool = pool
        self.drain_s = drain_s

    def apply(self, action: Start | Drain | Stop | Kill | Forget, now_s: float) -> None:
        match action:
            case Start():
                self.start(action, now_s)
            case Drain(replica=replica):
                self.roster.draining_at_s[replica] = now_s
            case Stop(replica=replica):
                self.roster.stopping.add(replica)
                self.driver.stop(replica, self.drain_s)
            case Kill(replica=replica, reason=reason):
                self.roster.kill_reasons[replica] = reason
                self.driver.stop(replica, 0.0)
            case Forget(replica=replica):
                self.roster.forget(replica)

    def start(self, action: Start, now_s: float) -> None:
        wanted = action.wanted
        replica = action.replica or new_name(wanted.group, self.roster.since_s)
        job = Job(
            replica=replica,
            pool=self.pool,
            node=self.node,
            model=wanted.model,
            version=wanted.version,
            unit=wanted.unit.name,
            device=action.device,
            threads=action.threads,
            address=choose_address(self.data, replica),
            data=str(self.data),
        )
        self.roster.begin(replica, wanted.group, now_s, again=bool(action.replica))
        self.driver.start(job)


def new_name(group: tuple[str, int, str, str], taken: Container[str]) -> str:
    model, version, _, unit = group
    while (name := f"{model}-{version}-{unit}-{secrets.token_hex(3)}") in taken:
        continue
    return name


def choose_address(data: Path, replica: str) -> str:
    """The same for the same replica: gateways redial a restarted worker where it was."""
    path = data / "run" / f"{replica}.sock"
    if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
        folder = Path(tempfile.gettempdir()) / f"sy-{hashlib.sha256(os.fsencode(data)).hexdigest()[:8]}"
        folder.mkdir(mode=0o700, exist_ok=True)
        stat = folder.lstat()
        if stat.st_uid != os.getuid() or stat.st_mode & 0o077:
            raise PermissionError(f"{folder} is not ours alone; remove it, or use a data folder with a shorter path.")
        path = folder / f"{hashlib.sha256(replica.encode()).hexdigest()[:16]}.sock"
    return f"unix:{path}"
