"""A driver starts, stops, lists and watches workers somewhere. The controller decides; a driver only does."""

from typing import Protocol

from msgspec import Struct

from inference.spec import Document, Name, Version


class Job(Document, frozen=True):
    """All that a worker needs to become a replica; a worker reads nothing else."""

    replica: str  # unique for ever, such as minilm-1-main-7f3a
    pool: Name
    node: str
    model: Name
    version: Version
    unit: Name
    device: str  # cpu or cuda:k
    threads: int
    address: str  # where it listens: unix:/path or tls:host:port
    data: str  # data folder of the node: artifact cache and run files


class Running(Struct, frozen=True):
    """A worker that a driver knows to be alive, whoever started it."""

    replica: str
    pid: int
    started_at_s: float
    address: str
    model: str
    version: int
    digest: str  # of the version
    unit: str
    device: str


class Gone(Struct, frozen=True):
    """A worker that ended since the last look, and how."""

    replica: str
    exit_code: int | None  # negative: the signal; None: found dead, cause unknown
    log_tail: str = ""


class Driver(Protocol):
    def start(self, job: Job) -> None:
        """Begin to start a worker and return at once. Raises nothing for a job that fails: that shows in `ended`."""

    def stop(self, replica: str, drain_s: float) -> None:
        """Ask a worker to drain and exit; killed after `drain_s`. Unknown or dead replicas are no error."""

    def running(self) -> list[Running]:
        """Every living worker, adopted ones included. A pid is trusted only with its start time."""

    def ended(self) -> list[Gone]:
        """Workers that ended since the last call."""

    def keep_spares(self, count: int) -> int:
        """Hold `count` warm processes (torch imported, nothing loaded) for the next `start`; say how many are warm."""
