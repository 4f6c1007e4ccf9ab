"""What models did since the gateway started, in the shape of Triton's statistics extension, all processes together.

`inference_count` counts rows, `execution_count` batches. Times are nanoseconds; those of a batch count once for each of
its requests under `inference_stats`, and once under `batch_stats`.
"""

from collections.abc import Awaitable, Callable

from msgspec import Struct, field

from inference.gateway.dataplane import Dataplane
from inference.gateway.keys import may_call, require_model, require_scope
from inference.gateway.report import ProcessReport
from inference.gateway.telemetry import SeriesCounts
from inference.spec import ApiKey

SeriesKey = tuple[str, int]


class Duration(Struct):
    count: int = 0
    ns: int = 0


class InferenceStats(Struct):
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration = field(default_factory=Duration)
    cache_miss: Duration = field(default_factory=Duration)


class BatchStats(Struct):
    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStats(Struct):
    name: str
    version: str
    last_inference: int  # Unix time, milliseconds
    inference_count: int
    execution_count: int
    inference_stats: InferenceStats
    batch_stats: list[BatchStats]
    response_stats: dict[str, object] = {}  # of models that answer one request several times: there are none
    memory_usage: list[object] = []  # workers tell the console, not the gateway


class Statistics:
    """`source` gives the sum over all processes of this gateway."""

    def __init__(self, dataplane: Dataplane, source: Callable[[], Awaitable[ProcessReport]]):
        self.dataplane = dataplane
        self.source = source

    async def read(self, principal: ApiKey, model: str = "", version: str = "") -> list[ModelStats]:
        """Of one version, of all of a model's, or of all that this key may see. Raises Refused and NotFound kinds."""
        require_scope(principal, "infer", "read")
        if model:
            require_model(principal, model)
            table, meant = self.dataplane.version_for(model, version)
            numbers = [meant.number] if version else sorted(table.versions)
            wanted = [(model, number) for number in numbers]
        report = await self.source()
        counted = {(item.model, item.version): item.counts for item in report.series if item.version}
        if not model:
            wanted = sorted(key for key in {*counted, *self.ready_versions()} if may_call(principal, key[0]))
        return [describe(name, number, counted.get((name, number)) or SeriesCounts()) for name, number in wanted]

    def ready_versions(self) -> list[SeriesKey]:
        dispatcher = self.dataplane.dispatcher
        return [
            (model, number)
            for model, queues in dispatcher.queues.items()
            for (number, _, _), queue in queues.items()
            if queue.ready
        ]


def describe(name: str, version: int, counts: SeriesCounts) -> ModelStats:
    return ModelStats(
        name=name,
        version=str(version),
        last_inference=int(counts.last_s * 1e3),
        inference_count=counts.rows,
        execution_count=counts.batches,
        inference_stats=InferenceStats(
            success=Duration(counts.ok, nanoseconds(counts.request_s - counts.failed_s)),
            fail=Duration(sum(counts.errors.values()), nanoseconds(counts.failed_s)),
            queue=Duration(counts.ok, nanoseconds(counts.queue_s)),
            compute_input=Duration(counts.batched, counts.input_ns),
            compute_infer=Duration(counts.batched, counts.infer_ns),
            compute_output=Duration(counts.batched, counts.output_ns),
        ),
        batch_stats=[
            BatchStats(
                rows,
                Duration(size.batches, size.input_ns),
                Duration(size.batches, size.infer_ns),
                Duration(size.batches, size.output_ns),
            )
            for rows, size in sorted(counts.by_size.items())
        ],
    )


def nanoseconds(seconds: float) -> int:
    return int(max(0.0, seconds) * 1e9)
