"""What a replica tells of itself once a second."""

import os
import time

import psutil

from inference.drivers.base import Job
from inference.status import Reading, ReplicaState, WorkerStatus
from inference.worker.device import open_sampler

SHORTEST_S = 0.5  # figures over less than this are noise
NOT_YET = Reading(value=None, reason="not measured yet: the replica has just started")


class Vitals:
    """Counters of one replica; the loop that does the work counts, and nobody else."""

    def __init__(self, job: Job, started_at_s: float, visible_gpus: str = "") -> None:
        self.job = job
        self.started_at_s = started_at_s
        self.state = ReplicaState.STARTING
        self.reason = ""
        self.load_s: float | None = None
        self.batches = 0
        self.rows = 0
        self.model_ns = 0  # time in the model, ever
        self.process = psutil.Process()
        self.sampler = open_sampler(job.device, job.threads, visible_gpus)
        self.last = (time.monotonic(), 0)
        self.readings = self.sampler.read()
        self.busy = NOT_YET

    def count(self, rows: int, infer_ns: int) -> None:
        self.batches += 1
        self.rows += rows
        self.model_ns += infer_ns

    def measure(self) -> None:
        """Read the gauges, and the percent of the time since the last look that was spent in the model."""
        now_s = time.monotonic()
        last_s, last_ns = self.last
        if now_s - last_s < SHORTEST_S:  # a controller just came or the state changed: the last figures are fresh
            return
        self.last = (now_s, self.model_ns)
        self.readings = self.sampler.read()
        if self.state in (ReplicaState.READY, ReplicaState.DRAINING):
            self.busy = Reading(value=min(100.0 * (self.model_ns - last_ns) / 1e9 / (now_s - last_s), 100.0))

    def status(self, in_flight: int) -> WorkerStatus:
        self.measure()
        job = self.job
        return WorkerStatus(
            replica=job.replica,
            pool=job.pool,
            node=job.node,
            model=job.model,
            version=job.version.number,
            unit=job.unit,
            digest=job.version.digest,
            device=job.device,
            device_name=self.sampler.name,
            state=self.state,
            pid=os.getpid(),
            at_s=time.time(),
            started_at_s=self.started_at_s,
            in_flight=in_flight,
            batches=self.batches,
            rows=self.rows,
            busy=self.busy,
            device_use=self.readings.use,
            memory_used_bytes=self.readings.memory_used,
            memory_total_bytes=self.readings.memory_total,
            rss_bytes=self.process.memory_info().rss,
            load_s=self.load_s,
            reason=self.reason,
        )
