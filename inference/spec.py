"""Spec: what is wanted. The console writes it; gateways and the controller read it.

Every document carries `(epoch, generation)`. The epoch changes when a database is created or restored, so a restored
backup neither freezes nor deletes anything; the generation rises by one with each change of that document. A reader
takes a document only when its pair is newer than the one in force. Deletion is a tombstone (`deleted`); an absent
document means "no news". Redis key names stand at the end, beside what they hold.
"""

import hashlib
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from inference.errors import BadDocument

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Percent = Annotated[float, Meta(ge=0, le=100)]
# Beyond 2**53 the doubles of Lua and JavaScript round whole numbers, and far beyond it they fit into no float at all.
Positive = Annotated[int, Meta(ge=1, lt=2**53)]
Count = Annotated[int, Meta(ge=0, lt=2**53)]


Scalar = str | int | float | bool | None


class Format(str, Enum):
    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    PT2 = "pt2"
    TORCHSCRIPT = "torchscript"


class StageKind(str, Enum):
    PREPROCESS = "preprocess"
    INFER = "infer"
    POSTPROCESS = "postprocess"


class DeviceKind(str, Enum):
    ANY = "any"
    CPU = "cpu"
    CUDA = "cuda"


class Document(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of all that is stored or sent between programs: frozen, strict, readable JSON."""


class TensorSpec(Document, frozen=True):
    """One tensor of a signature. `shape` has -1 where it varies; axis 0 is the batch, always -1."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    ragged_axes: tuple[int, ...] = ()  # axes padded to the longest of a batch
    pad_value: float = 0.0
    finite: bool = False  # refuse NaN and infinity: of a client with 400, of the model with 500


class Signature(Document, frozen=True):
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class ArtifactFile(Document, frozen=True):
    path: str  # relative, forward slashes, no ..
    sha256: Digest
    size_bytes: Count


class Artifact(Document, frozen=True):
    """Content-addressed files. File `sha256` lies at `<store>/sha256/<first two>/<sha256>`."""

    digest: Digest  # artifact_digest(files)
    files: tuple[ArtifactFile, ...]
    store: str  # file:///… or s3://…


class Stage(Document, frozen=True):
    """One step of a version. `use` names a processor, or for `infer` is empty: the version's format decides."""

    name: Name
    kind: StageKind
    signature: Signature  # what it takes out of, and adds to, the tensors at hand
    use: str = ""
    config: dict[str, Scalar | list[Scalar]] = {}


class BatchPolicy(Document, frozen=True):
    max_size: Positive = 32  # rows
    max_wait_s: Annotated[float, Meta(ge=0, le=10)] = 0.0


class QueuePolicy(Document, frozen=True):
    max_requests: Positive = 2048  # so that a thousand clients who each keep a connection all find a place
    timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0


class ScaleSignal(str, Enum):
    """What the number of replicas follows."""

    FIXED = "fixed"  # nothing: always min_replicas
    PREDICTIVE = "predictive"  # so many that no more than late_share of requests wait longer than wait_s
    CONCURRENCY = "concurrency"  # requests waiting or at work, `target` of the slots
    QUEUE_WAIT = "queue_wait"  # how long the first in line has waited, `target` of wait_s
    BUSY = "busy"  # time that replicas spend in the model, `target` of all
    GPU = "gpu"  # use of the device as the driver reports it, `target` of all


class ScalePolicy(Document, frozen=True):
    min_replicas: Count = 1
    max_replicas: Positive = 1
    signal: ScaleSignal = ScaleSignal.FIXED
    target: Annotated[float, Meta(ge=0.01, le=1)] = 0.7
    slots: Positive = 1  # requests that one replica serves at once
    wait_s: Annotated[float, Meta(ge=1e-6, le=86_400)] = 1.0  # that a request may wait for a slot
    late_share: Annotated[float, Meta(gt=0, lt=1)] = 0.005  # of requests, that may wait longer
    spare_replicas: Count = 0  # kept besides what is needed, to lose without notice
    down_after_s: Annotated[float, Meta(ge=0)] | None = None  # None: four cold starts
    idle_s: Annotated[float, Meta(ge=0)] = 300.0  # without a request before the last replica goes, if min_replicas is 0


class Unit(Document, frozen=True):
    """A run of consecutive stages in one process, with replicas of its own."""

    name: Name
    stages: tuple[Name, ...]
    device: DeviceKind = DeviceKind.ANY
    threads: Count = 0  # 0: the node's cores shared among its CPU replicas
    batch: BatchPolicy = BatchPolicy()
    queue: QueuePolicy = QueuePolicy()
    scale: ScalePolicy = ScalePolicy()


class Version(Document, frozen=True):
    number: Positive
    digest: Digest  # version_digest(): artifact, signature, stages, units' stage lists
    format: Format
    artifact: Artifact
    signature: Signature
    stages: tuple[Stage, ...]
    units: tuple[Unit, ...]
    native: bool = False  # a user with the right accepted that loading this format runs code


class Weight(Document, frozen=True):
    version: Positive
    percent: Percent


class Assignment(str, Enum):
    REQUEST = "request"  # each request drawn anew
    KEY = "key"  # X-Canary-Key, else the API key: the same version every time


class Rule(Document, frozen=True):
    """First matching rule wins over weights. Both conditions, where given, must hold."""

    version: Positive
    header: str = ""
    equals: str = ""
    api_key: str = ""


class ShadowCopy(Document, frozen=True):
    version: Positive
    percent: Percent


class Traffic(Document, frozen=True):
    weights: tuple[Weight, ...] = ()  # sum 100 while a version serves; empty: nothing is served
    assignment: Assignment = Assignment.REQUEST
    salt: str = ""
    rules: tuple[Rule, ...] = ()
    shadows: tuple[ShadowCopy, ...] = ()


class Guard(Document, frozen=True):
    metric: str  # error_rate | latency | slo_error_rate | invalid_output
    limit: float
    quantile: float = 0.0


class Step(Document, frozen=True):
    percent: Percent
    bake_s: Annotated[float, Meta(ge=0)]
    manual: bool = False


class RolloutPlan(Document, frozen=True):
    """A plan is spec; its progress is `status.Progress`. A stopped rollout stays stopped until a new id comes."""

    id: str
    stable: Positive
    canary: Positive
    steps: tuple[Step, ...]
    guards: tuple[Guard, ...] = ()
    alpha: Annotated[float, Meta(ge=1e-12, le=0.5)] = 0.01  # chance of a rollback without a reason
    approvals: Count = 0  # people, other than the one who runs it, who must agree first
    approved_by: tuple[str, ...] = ()
    max_exposed: Positive | None = None  # requests the canary may answer before the evidence is in
    max_losses: Count = 2  # times it may lose its last ready replica under traffic
    warm_s: Annotated[float, Meta(gt=0)] = 1800.0  # to become ready
    watch_s: Annotated[float, Meta(ge=0)] = 600.0  # after promotion, with stable kept ready
    deadline_s: Annotated[float, Meta(gt=0)] = 14 * 86400.0  # for all steps, pauses included


class Freeze(Document, frozen=True):
    """Times at which no canary gets more traffic, in local time. `ends` at or before `begins` is on the next day."""

    days: tuple[Annotated[int, Meta(ge=0, le=6)], ...] = (0, 1, 2, 3, 4, 5, 6)  # on which it begins; 0 is Monday
    begins: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "00:00"
    ends: Annotated[str, Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")] = "24:00"
    first_date: Annotated[str, Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""  # on which it may begin; empty: no bound
    last_date: Annotated[str, Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""
    zone: str = "UTC"  # IANA
    reason: str = ""


class CachePolicy(Document, frozen=True):
    enabled: bool = False
    strategy: str = "adaptive"
    max_bytes: Count = 64 * 1024 * 1024
    max_entries: Count = 100_000
    ttl_s: Annotated[float, Meta(gt=0)] = 600.0


class Slo(Document, frozen=True):
    latency_p95_s: Annotated[float, Meta(gt=0)] | None = None
    error_percent: Percent | None = None


class ModelSpec(Document, frozen=True):
    name: Name
    epoch: str
    generation: Count
    versions: tuple[Version, ...] = ()  # live ones: to be loaded and addressable
    aliases: dict[str, int] = {}
    traffic: Traffic = Traffic()
    rollout: RolloutPlan | None = None
    freezes: tuple[Freeze, ...] = ()
    cache: CachePolicy = CachePolicy()
    slo: Slo = Slo()
    pool: Name = "default"
    deleted: bool = False


class ApiKey(Document, frozen=True):
    """What a gateway must know of a key; never the key itself."""

    id: str
    name: str
    sha256: Digest
    scopes: tuple[str, ...]  # read | infer | operate | rollout | admin
    models: tuple[str, ...] | None = None  # None: all
    expires_at_s: float | None = None  # Unix time


class KeysSpec(Document, frozen=True):
    """All valid keys in one document: a revoked key is simply gone."""

    epoch: str
    generation: Count
    keys: tuple[ApiKey, ...] = ()


class PoolSpec(Document, frozen=True):
    name: Name
    epoch: str
    generation: Count
    driver: str = "local"
    devices: tuple[str, ...] = ("cpu",)  # cpu | cuda:0 …
    max_workers: Positive = 8
    spares: Count = 1  # warm processes with torch imported, not yet a replica
    deleted: bool = False


class PriceSpec(Document, frozen=True):
    name: Name  # a device kind, such as cpu or h100
    epoch: str
    generation: Count
    nano_usd_per_hour: Count = 0
    deleted: bool = False


class IntentAction(str, Enum):
    RUN = "run"
    PAUSE = "pause"
    RESUME = "resume"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ABORT = "abort"


class Intent(Document, frozen=True):
    """An operator's numbered request on a rollout; `generation` is the number."""

    rollout: str
    epoch: str
    generation: Count
    action: IntentAction
    by: str
    reason: str = ""
    step: int = -1  # the step its author saw; refused once the rollout is elsewhere. -1: whichever it is


class Hint(Document, frozen=True):
    """An operator's wish, sent through a gateway, to load or unload a model. Void once the model's spec changes."""

    model: Name
    epoch: str  # of the spec
    generation: Count  # numbers the wishes about this model
    spec_generation: Count  # of the spec it is about
    loaded: bool
    by: str  # id of the key


class LocalSpec(Document, frozen=True):
    """The file of `python -m inference local --spec FILE`: every document of one machine."""

    models: tuple[ModelSpec, ...] = ()
    keys: KeysSpec | None = None
    pool: PoolSpec | None = None


DocumentKind = TypeVar("DocumentKind", bound=Document)


def decode(raw: bytes | str, kind: type[DocumentKind]) -> DocumentKind:
    """Decode one document strictly: unknown fields and wrong types raise BadDocument with the path of the fault."""
    try:
        return msgspec.json.decode(raw, type=kind)
    # msgspec lets text that is no UTF-8, and nesting beyond the stack, through as Python's own errors.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadDocument(f"This is not a valid {kind.__name__}: {error}.") from error


def encode(document: Document) -> bytes:
    return msgspec.json.encode(document)


def artifact_digest(files: Iterable[ArtifactFile]) -> str:
    """sha256 over `<sha256>  <path>` lines in path order, as `sha256sum` prints them."""
    lines = (f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def version_digest(artifact: str, signature: Signature, stages: tuple[Stage, ...]) -> str:
    """What makes two versions answer alike: artifact, signature and stages. Cache keys and replicas are bound to it."""
    return hashlib.sha256(msgspec.json.encode([artifact, signature, stages], order="sorted")).hexdigest()


# Redis. A document of kind K and key N is field N of hash DOCUMENTS[K]; each write adds (kind, key, revision) to FEED.
DOCUMENTS = "sy:doc:{kind}"
FEED = "sy:feed"
FEED_REVISION = "sy:feed:revision"
FEED_LENGTH = 10_000
KINDS: dict[str, type[Document]] = {
    "spec": ModelSpec, "keys": KeysSpec, "pool": PoolSpec, "price": PriceSpec, "intent": Intent,
    "hint": Hint,
}  # fmt: skip
KEYS_NAME = "all"  # the one key under which the keys document lies

# The one way to publish, a script, so that reading, comparing and writing are one step and nobody ever puts an older
# document over a newer one. KEYS: hash, FEED, FEED_REVISION and, for documents with a fence, the counter of fences.
# ARGV: kind, key, document, FEED_LENGTH. Answers the new revision, or 0 when Redis already holds the same or a newer
# document, or when the fence has risen: what a controller sends after another took its place must not be believed, even
# where that one has not written yet. Ranks: (fence, revision) where the document has a fence, otherwise (epoch,
# generation); another epoch always replaces.
PUBLISH = """
local function older(held, given)
  if given.fence then
    local held_fence, given_fence = held.fence or -1, given.fence
    if held_fence ~= given_fence then return held_fence < given_fence end
    return (held.revision or 0) < (given.revision or 0)
  end
  return held.epoch ~= given.epoch or (held.generation or 0) < (given.generation or 0)
end
if KEYS[4] and (cjson.decode(ARGV[3]).fence or 0) < tonumber(redis.call('GET', KEYS[4]) or '0') then return 0 end
local raw = redis.call('HGET', KEYS[1], ARGV[2])
if raw then
  local readable, held = pcall(cjson.decode, raw)
  if readable and type(held) == 'table' and not older(held, cjson.decode(ARGV[3])) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
local revision = redis.call('INCR', KEYS[3])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'kind', ARGV[1], 'key', ARGV[2], 'revision', revision)
return revision
"""
