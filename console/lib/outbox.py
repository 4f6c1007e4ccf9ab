"""The outbox: a change is marked in its own transaction and reaches Redis after it, come what may.

`mark(kind, key)` stands in the transaction that changed what the document shows: it numbers the change and sets
`pending`. On commit the document is built and published at once, best effort and in bounded time. What a crash or an
absent Redis left behind, `sweep_outbox()` publishes; the monitor calls it each second.

Each app registers how its documents are built: `outbox.register("spec", build_model_spec)`. The builder gets the
stamp read *before* the content, so a document never carries a generation later than what it shows. A thing that is
gone is built as its tombstone.

Call `record()` (audit) before `mark()`: both take a row lock that lasts until commit, and one order has no deadlock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

import structlog
from django.db import transaction
from django.db.models import F, Max, Q
from django.utils import timezone

from console.lib.ids import new_ulid
from console.lib.models import Deployment, OutboxMark
from console.lib.publish import PublishFailed, RedisAway, publisher
from inference import spec

log = structlog.get_logger()


class Stamp(NamedTuple):
    epoch: str
    generation: int


Builder = Callable[[str, Stamp], spec.Document]


@dataclass(frozen=True)
class Registration:
    build: Builder
    refresh_s: float | None = None  # a document that holds times is built anew at least this often


@dataclass
class Sweep:
    """What one sweep did, for the log and for tests."""

    published: int = 0
    failed: int = 0
    pending: int = 0
    errors: list[str] = field(default_factory=list)


registrations: dict[str, Registration] = {}
SWEEP_BATCH = 500


def register(kind: str, build: Builder, *, refresh_s: float | None = None) -> None:
    """Say how documents of `kind` are built; called in an app's `ready()`."""
    if kind not in spec.KINDS:
        raise ValueError(f"{kind!r} is not a kind of document; inference/spec.py knows {', '.join(spec.KINDS)}.")
    registrations[kind] = Registration(build, refresh_s)


def current_epoch() -> str:
    deployment, _ = Deployment.objects.get_or_create(pk=1)
    return deployment.epoch


def begin_epoch() -> str:
    """Begin a new life of this database, after a restore: every document is marked and will be taken again."""
    current_epoch()  # makes the row where it is missing
    with transaction.atomic():
        held = Deployment.objects.select_for_update().get(pk=1)
        held.epoch, held.began_at = new_ulid(), timezone.now()
        held.save()
        OutboxMark.objects.update(pending=True, marked_at=timezone.now(), attempts=0)
    return held.epoch


def next_generation(kind: str, key: str) -> int:
    """Number a change of this document. Holds its row until commit, so numbers rise in the order of commits."""
    fresh = {"generation": F("generation") + 1, "pending": True, "marked_at": timezone.now(), "attempts": 0}
    rows = OutboxMark.objects.filter(kind=kind, key=key)
    if not rows.update(**fresh):
        OutboxMark.objects.get_or_create(kind=kind, key=key)
        rows.update(**fresh)
    return rows.values_list("generation", flat=True).get()


def mark(kind: str, key: str) -> int:
    """Within a transaction: this document has changed. Returns the generation it will carry."""
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("outbox.mark() stands in the transaction of the change it marks.")
    generation = next_generation(kind, key)
    transaction.on_commit(lambda: publish_soon(kind, key), robust=True)
    return generation


def publish_soon(kind: str, key: str) -> None:
    """After commit: one try, never an error to the caller. While Redis is away it costs nothing; the sweep goes on."""
    if publisher.is_resting():
        return
    try:
        waiting = OutboxMark.objects.filter(kind=kind, key=key, pending=True).first()
        if waiting is not None:  # marked twice in one transaction: the first call published it
            publish_mark(waiting)
    except PublishFailed as error:
        log.warning("outbox.publish_failed", kind=kind, key=key, error=str(error))
    except Exception:
        log.exception("outbox.build_failed", kind=kind, key=key)


def publish_mark(mark: OutboxMark) -> None:
    """Build and publish one document. The mark is cleared only if nothing changed it meanwhile."""
    registration = registrations.get(mark.kind)
    if registration is None:
        raise PublishFailed(f"No app registered how {mark.kind!r} documents are built.")
    stamp = Stamp(current_epoch(), mark.generation)
    same = OutboxMark.objects.filter(pk=mark.pk, generation=mark.generation)
    try:
        done = publisher.publish(mark.kind, mark.key, registration.build(mark.key, stamp), stamp)
    except Exception as error:
        if same.update(attempts=F("attempts") + 1, error=str(error)[:500]) == 0:
            return  # a later change came between, and whoever made it publishes it
        raise
    same.update(
        pending=False, published_at=timezone.now(), revision=done.revision or mark.revision, attempts=0, error=""
    )


def sweep_outbox() -> Sweep:
    """Publish what is pending, oldest first, with what Redis lost and what is due. Redis away is no error here."""
    result = Sweep()
    try:
        notice_lost_redis()
        mark_for_refresh()
        for waiting in OutboxMark.objects.filter(pending=True).order_by("attempts", "marked_at")[:SWEEP_BATCH]:
            try:
                publish_mark(waiting)
                result.published += 1
            except RedisAway:
                raise
            except Exception as error:  # one document that cannot be built or placed must not hold up the others
                result.failed += 1
                result.errors.append(f"{waiting.kind}/{waiting.key}: {error}")
                if waiting.attempts == 0:  # once, not each second
                    log.exception("outbox.publish_failed", kind=waiting.kind, key=waiting.key)
    except RedisAway as error:
        result.errors.append(str(error))
    result.pending = OutboxMark.objects.filter(pending=True).count()
    return result


def notice_lost_redis() -> None:
    """A Redis that came back empty, or older than what we published, gets every document again."""
    newest = OutboxMark.objects.aggregate(newest=Max("revision"))["newest"] or 0
    epoch = current_epoch()
    seen = publisher.look()
    if seen.epoch != epoch or seen.revision < newest:
        OutboxMark.objects.update(pending=True, revision=0)
        publisher.claim(epoch)


def mark_for_refresh() -> None:
    for kind, registration in registrations.items():
        if registration.refresh_s is None:
            continue
        old = Q(published_at__lt=timezone.now() - timedelta(seconds=registration.refresh_s))
        for key in OutboxMark.objects.filter(old, kind=kind, pending=False).values_list("key", flat=True):
            next_generation(kind, key)
