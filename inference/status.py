"""Status: what is in force and what is so. The data plane writes it; the console mirrors and shows it.

`Effective` and `Endpoints` come from the controller that holds the lease (`fence` is its fencing token: a document of
a lower fence is refused). Worker and gateway status, and telemetry, are reports: the newest wins, old ones expire.
"""

from enum import Enum

from inference.spec import Count, Digest, Document, Name, Percent, RolloutPlan, Weight


class ReplicaState(str, Enum):
    STARTING = "starting"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"  # gave up for now; `reason` says why, `retry_at_s` when it is tried again
    STOPPED = "stopped"


class Phase(str, Enum):
    """Where a rollout stands. The last three are final."""

    PENDING = "pending"  # not started: the spec's own traffic is in force
    WARMING = "warming"  # the canary loads; it has no traffic
    BAKING = "baking"  # at a step, for the step's time
    HOLDING = "holding"  # at a step whose time is over, for want of something: `waits`
    PAUSED = "paused"  # by an operator; the guards go on
    PROMOTING = "promoting"  # all steps are passed; waits until the canary can carry all traffic
    WATCHING = "watching"  # the canary has all traffic; stable is kept ready
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"


class Wait(str, Enum):
    """What a rollout needs to go on by itself."""

    RUN = "run"  # somebody to run it
    APPROVAL = "approval"
    PLAN = "plan"  # a plan without fault
    FREEZE = "freeze"  # the end of a freeze
    CAPACITY = "capacity"  # ready replicas of the canary
    TIME = "time"  # the rest of the step's time, or of the watch
    EVIDENCE = "evidence"
    GATE = "gate"  # somebody to advance it
    BUDGET = "budget"  # the canary answered as many as it may unproven: somebody to advance or abort it
    RESUME = "resume"
    STABLE = "stable"  # decided; traffic goes back once stable has a ready replica


class Threshold(Document, frozen=True):
    """A quantile of stable's latency, frozen before a step: the latency guard compares the two versions by it."""

    at_s: float
    above: float  # stable's share beyond it, between 0 and 1


class Progress(Document, frozen=True):
    """How far a rollout is. All that a successor needs to go on; it is written in one piece with the weights."""

    plan: RolloutPlan  # as it was started: what is changed later under the same id changes nothing
    phase: Phase = Phase.PENDING
    waits: Wait | None = None
    step: Count = 0  # index among the steps below 100 %; their number, once all are passed
    percent: Percent = 0.0  # of traffic that the canary has
    interrupted: Phase | None = None  # what a pause interrupted
    phase_s: float = 0.0  # observed time in this phase that counts
    active_s: float = 0.0  # observed time since it was run
    seen_s: float = 0.0  # Unix time of the last look
    losses: Count = 0
    exposed: Count = 0  # requests that the canary answered
    waived: bool = False  # an operator went past the exposure budget
    intent_epoch: str = ""
    intent: int = -1  # generation of the last intent that was answered
    answer: str = ""  # to it
    reason: str = ""  # of the last change of phase
    thresholds: tuple[Threshold, ...] = ()  # rising


class Effective(Document, frozen=True):
    """What gateways route by, one a model."""

    name: Name
    epoch: str
    generation: Count  # of the spec it was decided from
    fence: Count
    revision: Count = 0  # rises with each change under one generation
    weights: tuple[Weight, ...] = ()
    salt: str = ""
    progress: Progress | None = None  # of the rollout
    stopped: tuple[str, ...] = ()  # ids of rollouts that never start again, newest last


class Endpoint(Document, frozen=True):
    """One replica. Only `ready` ones get new work; `draining` ones finish what they hold."""

    replica: str
    address: str  # unix:/path or tls:host:port
    model: Name
    version: int
    digest: Digest  # of the version
    unit: Name
    device: str
    state: ReplicaState
    node: str = "local"


class Endpoints(Document, frozen=True):
    pool: Name
    fence: Count
    revision: Count
    replicas: tuple[Endpoint, ...] = ()


class Reading(Document, frozen=True):
    """A measured value, or why there is none. Never a zero that was not measured."""

    value: float | None
    reason: str = ""


class WorkerStatus(Document, frozen=True):
    """A replica as its controller and its own heartbeat see it; sent at least once a second."""

    replica: str
    pool: Name
    node: str
    model: str
    version: int
    unit: str
    digest: str
    device: str
    device_name: str
    state: ReplicaState
    pid: int
    at_s: float  # Unix time of the last heartbeat
    started_at_s: float
    restarts: Count = 0
    in_flight: Count = 0
    batches: Count = 0
    rows: Count = 0
    busy: Reading = Reading(value=None, reason="not measured yet")  # percent of the last second spent in the model
    device_use: Reading = Reading(value=None, reason="not measured yet")  # percent
    memory_used_bytes: Reading = Reading(value=None, reason="not measured yet")
    memory_total_bytes: Reading = Reading(value=None, reason="not measured yet")
    rss_bytes: Count = 0
    load_s: float | None = None
    reason: str = ""
    retry_at_s: float | None = None


class ControllerStatus(Document, frozen=True):
    id: str
    fence: Count
    at_s: float
    pools: tuple[str, ...] = ()
    spares: Count = 0
    message: str = ""


class GatewayStatus(Document, frozen=True):
    id: str
    at_s: float
    started_at_s: float
    url: str
    processes: Count = 1
    feed_revision: Count = 0
    connected: bool = True  # to Redis
    generations: dict[str, tuple[str, int]] = {}  # "spec/minilm" → (epoch, generation) in force


class Series(Document, frozen=True):
    """One second of one (model, version): counters of that second and a sketch of total latency."""

    model: str
    version: int  # 0: refused before a version was chosen
    requests: Count = 0
    ok: Count = 0
    errors: dict[str, int] = {}  # by error code
    rows: Count = 0
    batches: Count = 0
    cache_hits: Count = 0
    cache_misses: Count = 0
    latency: dict[int, int] = {}  # sketch bins: HTTP in to HTTP out, seconds
    queue: dict[int, int] = {}  # sketch bins: waiting for a replica
    compute_ns: Count = 0  # time in the model, shared out by rows


class TelemetrySecond(Document, frozen=True):
    gateway: str
    second: int  # Unix time of the second that ended
    series: tuple[Series, ...] = ()
    waiting: Count = 0  # in all queues at the end of it
    in_flight: Count = 0
    dropped: Count = 0  # seconds lost since the last report, because Redis was away


# Redis. Documents lie as in `spec`; reports are fields of hashes (newest wins) or entries of a bounded stream.
KINDS: dict[str, type[Document]] = {"effective": Effective, "endpoints": Endpoints}
WORKERS = "sy:status:workers"  # hash replica → WorkerStatus
CONTROLLER = "sy:status:controller"  # hash controller id → ControllerStatus; the newest holds the lease
GATEWAYS = "sy:status:gateways"  # hash gateway id → GatewayStatus
TELEMETRY = "sy:telemetry"  # stream, field `d`: TelemetrySecond as JSON
TELEMETRY_LENGTH = 4_000
LEASE = "sy:lease:controller"
FENCE = "sy:fence:controller"
EVENTS = "sy:events"  # stream, field `d`: Event as JSON
EVENTS_LENGTH = 2_000


class Event(Document, frozen=True):
    """Something happened that a person may want to see: a worker came back, a version became ready."""

    at_s: float
    kind: str  # worker.ready · worker.lost · worker.failed · version.ready · controller.adopted · gateway.joined …
    subject: str
    message: str
    level: str = "info"  # info | ok | warn | bad
