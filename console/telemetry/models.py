"""History: roll-ups of telemetry and the events of the data plane. The monitor is their only writer.

Times are whole seconds since the epoch: that is what gateways report, what charts ask for, and what an index likes.
Each table holds two grains, 10 s and 5 min, written in one transaction, so a week is read in some thousand rows.
"""

from django.db import models

GRAINS_S = (10, 300)


class GatewayRollUp(models.Model):
    """What all gateways said of themselves in one bucket. Its presence means the bucket is known, traffic or not."""

    grain_s = models.PositiveIntegerField()
    start_s = models.PositiveBigIntegerField()
    seconds_seen = models.PositiveIntegerField(default=0)  # bit i: second start+i was reported (10 s grain only)
    seconds = models.PositiveIntegerField(default=0)
    waiting = models.PositiveBigIntegerField(default=0)  # sums over those seconds
    in_flight = models.PositiveBigIntegerField(default=0)
    dropped = models.PositiveBigIntegerField(default=0)
    # Every report of the bucket up to this stream id is in its rows: what makes a replay after a restart count once.
    through = models.CharField(max_length=41, default="0-0")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["grain_s", "start_s"], name="one_gateway_rollup_a_bucket")]

    def __str__(self) -> str:
        return f"{self.start_s} + {self.grain_s} s"


class RollUp(models.Model):
    """One (model, version) in one bucket: counters, and sketches packed as in `cells`."""

    grain_s = models.PositiveIntegerField()
    start_s = models.PositiveBigIntegerField()
    model = models.CharField(max_length=63)
    version = models.PositiveIntegerField()  # 0: refused before a version was chosen
    requests = models.PositiveBigIntegerField(default=0)
    ok = models.PositiveBigIntegerField(default=0)
    errors = models.JSONField(default=dict)
    rows = models.PositiveBigIntegerField(default=0)
    batches = models.PositiveBigIntegerField(default=0)
    cache_hits = models.PositiveBigIntegerField(default=0)
    cache_misses = models.PositiveBigIntegerField(default=0)
    compute_ns = models.PositiveBigIntegerField(default=0)
    latency = models.BinaryField(default=bytes)
    queue = models.BinaryField(default=bytes)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["grain_s", "start_s", "model", "version"], name="one_rollup_a_version")
        ]

    def __str__(self) -> str:
        return f"{self.model}/{self.version} {self.start_s} + {self.grain_s} s"


class WorkerRollUp(models.Model):
    """One worker in one bucket: sums and how many samples went in, so means stay exact over any range."""

    grain_s = models.PositiveIntegerField()
    start_s = models.PositiveBigIntegerField()
    replica = models.CharField(max_length=200)
    busy = models.FloatField(default=0)
    busy_samples = models.PositiveIntegerField(default=0)
    device_use = models.FloatField(default=0)
    device_use_samples = models.PositiveIntegerField(default=0)
    memory_bytes = models.FloatField(default=0)
    memory_bytes_samples = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["grain_s", "start_s", "replica"], name="one_rollup_a_worker")]

    def __str__(self) -> str:
        return f"{self.replica} {self.start_s} + {self.grain_s} s"


class Event(models.Model):
    """Something that happened in the data plane, mirrored from its stream."""

    stream_id = models.CharField(max_length=41, unique=True)
    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=63)
    subject = models.CharField(max_length=200)
    message = models.CharField(max_length=1000)
    level = models.CharField(max_length=8, default="info")

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"
