"""Reports of the data plane, read from Redis in bounded time; the last ones are kept for when Redis is away."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import redis
import structlog
from django.conf import settings

from console.fleet.choices import Freshness
from inference import spec, status

log = structlog.get_logger()
T = TypeVar("T")
Other = TypeVar("Other")
DocumentT = TypeVar("DocumentT", status.WorkerStatus, status.GatewayStatus, status.ControllerStatus)

TIMEOUT_S = 0.5
RETRY_S = 1.0  # after a failure, Redis is not asked again for so long: a page makes several of these reads
FORGET_S = 300.0  # a report this old is of something that ended without a word
MAX_FIELDS = 10_000


@dataclass(frozen=True)
class Report(Generic[T]):
    """What was last heard, when, and why nothing newer: pages show "no news since …" from it."""

    items: tuple[T, ...]
    as_of_s: float | None  # Unix time; None: nothing was ever heard
    problem: str = ""

    @property
    def freshness(self) -> Freshness:
        if self.as_of_s is None:
            return Freshness.UNKNOWN
        return Freshness.STALE if self.problem else Freshness.LIVE

    def with_items(self, items: Iterable[Other]) -> "Report[Other]":
        return Report(tuple(items), self.as_of_s, self.problem)


class Mailbox:
    """The connection to Redis and the last good reports of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.client: Any = None
        self.last: dict[str, Report[Any]] = {}
        self.failed_at_s = -RETRY_S
        self.problem = ""

    def read(self, key: str, kind: type[DocumentT]) -> Report[DocumentT]:
        with self.lock:
            if time.monotonic() - self.failed_at_s < RETRY_S:
                return self.without_news(key)
            try:
                raw = self.connect().hgetall(key)
            except (redis.RedisError, OSError) as error:
                self.failed_at_s, self.client = time.monotonic(), None
                self.problem = f"Redis does not answer ({type(error).__name__})."
                return self.without_news(key)
            now = time.time()
            report = Report(tuple(decode_newer(raw, kind, now - FORGET_S)), now)
            self.last[key] = report
            return report

    def read_document(self, key: str, field: str) -> bytes | None:
        """One field of a hash of documents; None when it is absent or Redis is away."""
        with self.lock:
            if time.monotonic() - self.failed_at_s < RETRY_S:
                return None
            try:
                raw: bytes | None = self.connect().hget(key, field)
            except (redis.RedisError, OSError):
                self.failed_at_s, self.client = time.monotonic(), None
                return None
            return raw

    def without_news(self, key: str) -> Report[Any]:
        held = self.last.get(key)
        return Report(held.items if held else (), held.as_of_s if held else None, self.problem)

    def connect(self) -> Any:
        if self.client is None:
            self.client = redis.Redis.from_url(
                settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=None
            )
        return self.client

    def forget(self) -> None:
        with self.lock:
            self.client, self.last, self.failed_at_s, self.problem = None, {}, -RETRY_S, ""


mailbox = Mailbox()


def read_report(key: str, kind: type[DocumentT]) -> Report[DocumentT]:
    return mailbox.read(key, kind)


def read_effective(model: str) -> status.Effective | None:
    """What is in force for a model, as its controller last said; None where nothing is known."""
    raw = mailbox.read_document(spec.DOCUMENTS.format(kind="effective"), model)
    try:
        return None if raw is None else msgspec.json.decode(raw, type=status.Effective)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("what is in force cannot be read", model=model, error=str(error))
        return None


def decode_newer(raw: dict[bytes, bytes], kind: type[DocumentT], after_s: float) -> Iterable[DocumentT]:
    """A report that cannot be read is of another version of ours: logged and left out, not a broken page."""
    for field, value in list(raw.items())[:MAX_FIELDS]:
        try:
            document = msgspec.json.decode(value, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("a report cannot be read", field=field.decode(errors="replace"), error=str(error))
            continue
        if document.at_s >= after_s:
            yield document
