"""What a peer's server is told: one JSON value in the environment, which its worker processes inherit too."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

VARIABLE = "BENCH_PEER"
LOADED = "loaded"


@dataclass(frozen=True)
class Settings:
    work: str  # w1 | w2 | w2int8 | cache | identity (bench.large_tensors)
    workers: int = 1  # processes with the model, one compute thread each; 0: in the server's own process
    max_batch: int = 1  # rows; 1: no batching
    wait_ms: float = 0.0  # how long a batch may wait to fill up
    port: int = 0
    grpc_port: int = 0  # 0: none
    folder: str = ""  # scratch, of this one run
    models: str = ""  # where bench.peers.models lies what it made

    @classmethod
    def from_environment(cls) -> Self:
        return cls(**json.loads(os.environ[VARIABLE]))

    def to_environment(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}

    @property
    def model(self) -> str:
        """Which model the work is about: also its name at the server."""
        return "w1" if self.work == "cache" else self.work

    def note_loaded(self) -> None:
        """Leave a mark that this process is ready: some servers answer while half of their workers still load."""
        if self.folder:
            (self.scratch(LOADED) / str(os.getpid())).touch()

    def count_loaded(self) -> int:
        return len(list(self.scratch(LOADED).iterdir()))

    def scratch(self, name: str) -> Path:
        path = Path(self.folder) / name
        path.mkdir(parents=True, exist_ok=True)
        return path
