"""The record of who did what: append-only, each row chained to the one before by sha256.

`record()` stands in the transaction of the change it tells of: both happen or neither. The chain's head row is locked
until commit, so numbers have no gaps and rise in the order of commits, whoever writes at the same time. Changing or
removing any row breaks the chain from there on, which `verify_chain()` finds; removing the newest rows shows against
the head. (Someone who can rewrite the whole database can rewrite the chain: keep an exported head elsewhere.)
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.utils import timezone

from console.accounts.models import AuditEvent, AuditHead
from console.lib.actors import Actor, request_id
from console.lib.ids import new_ulid

HASHED = (
    "id", "number", "actor_kind", "actor_id", "actor_name", "action", "subject", "before", "after", "reason",
    "request_id", "previous_hash",
)  # fmt: skip


@dataclass(frozen=True)
class ChainCheck:
    """What a walk over the whole chain found."""

    ok: bool
    events: int
    head: str
    broken_at: int | None = None
    detail: str = ""


def record(
    actor: Actor,
    action: str,
    subject: models.Model | str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEvent:
    """Append one event, within the caller's transaction. `action` is `noun.verb`, such as `alias.move`."""
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("record() stands in the transaction of the change it tells of.")
    head, _ = AuditHead.objects.select_for_update().get_or_create(pk=1)
    at = timezone.now()
    event = AuditEvent(
        id=new_ulid(at.timestamp()),
        number=head.number + 1,
        at=at,
        actor_kind=actor.actor_kind,
        actor_id=actor.actor_id,
        actor_name=actor.actor_name,
        action=action,
        subject=subject if isinstance(subject, str) else subject_of(subject),
        before=plain(before),
        after=plain(after),
        reason=reason[:500],
        request_id=request_id.get()[:64],
        previous_hash=head.hash,
    )
    event.hash = hash_event(event)
    event.save(force_insert=True)
    AuditHead.objects.filter(pk=1).update(number=event.number, hash=event.hash)
    return event


def verify_chain() -> ChainCheck:
    """Walk every event from the first, recomputing each hash."""
    previous, number = "0" * 64, 0
    for event in AuditEvent.objects.order_by("number").iterator(chunk_size=2000):
        number += 1
        fault = ""
        if event.number != number:
            fault = f"Event {number} is missing: the next one is number {event.number}."
        elif event.previous_hash != previous:
            fault = f"Event {number} does not follow from the one before it."
        elif hash_event(event) != event.hash:
            fault = f"Event {number} was changed after it was written."
        if fault:
            return ChainCheck(ok=False, events=number, head=previous, broken_at=number, detail=fault)
        previous = event.hash
    head, _ = AuditHead.objects.get_or_create(pk=1)
    # A writer may have appended since the walk's snapshot: the head may be ahead only if its row exists.
    if head.number < number or (head.number == number and head.hash != previous):
        return ChainCheck(False, number, previous, number, "The head of the chain does not match its last event.")  # noqa: FBT003
    if head.number > number and not AuditEvent.objects.filter(number=head.number, hash=head.hash).exists():
        missing = f"The newest events are missing: the head says {head.number}, the last event is {number}."
        return ChainCheck(False, number, previous, number + 1, missing)  # noqa: FBT003
    return ChainCheck(ok=True, events=number, head=previous)


def hash_event(event: AuditEvent) -> str:
    """Over a canonical text of all that the row says. Time counts to the millisecond, which every database keeps."""
    fields = {name: getattr(event, name) for name in HASHED}
    fields["at"] = event.at.astimezone(UTC).isoformat(timespec="milliseconds")
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(value: dict[str, Any] | None) -> Any:
    """As it will read back from the database, so that the hash of what is written is the hash of what is read."""
    return None if value is None else json.loads(json.dumps(value, cls=DjangoJSONEncoder))


def subject_of(thing: models.Model) -> str:
    """`model/minilm`, `version/minilm/2`: its own `audit_subject`, else table name and primary key."""
    own = getattr(thing, "audit_subject", None)
    return str(own) if own else f"{thing._meta.model_name}/{thing.pk}"


def as_of(moment: datetime | None) -> str | None:
    """A time as audit rows and API write it."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
