"""API keys: made, changed, rotated, revoked, and published to gateways within a second of each.

The text of a key exists once, in the answer to whoever made it.
"""

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.core.cache import cache
from django.db import OperationalError, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from console.accounts.choices import Scope
from console.accounts.models import ApiKey, User
from console.accounts.services.audit import as_of, record
from console.lib import outbox
from console.lib.actors import Actor
from console.lib.errors import Invalid, InvalidTransition, NotAllowed, StaleWrite
from console.lib.permissions import can
from console.lib.rights import ADMIN, NATIVE, SCOPE_RIGHTS
from inference import spec

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
MAX_LIFE = timedelta(days=3 * 365)
MAX_OVERLAP = timedelta(days=7)
LAST_USED_STEP = timedelta(minutes=1)
MAX_KEYS_A_PERSON = 200
KEEP = object()  # where None has a meaning of its own
log = structlog.get_logger()
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")


class NewKey(NamedTuple):
    """A key and, this once, its text."""

    key: ApiKey
    secret: str


def new_secret() -> tuple[str, str]:
    """(prefix, whole text) of a fresh key: `sy_<8 characters>_<32 random bytes>`."""
    prefix = "".join(secrets.choice(ALPHABET) for _ in range(8))
    return prefix, f"sy_{prefix}_{secrets.token_urlsafe(32)}"


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@transaction.atomic
def create_api_key(
    *,
    actor: Actor,
    name: str,
    scopes: Sequence[str],
    owner: User | None = None,
    models: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    reason: str = "",
) -> NewKey:
    """Make a key for `owner` (by default the actor). Nobody gives a key more than they may do themselves."""
    check_key_may(actor)
    owner = owner or actor.person
    if owner is None:
        raise Invalid.field("owner", "Say whose key this is: the system has no keys of its own.")
    if owner != actor.person and not can(actor, ADMIN):
        raise NotAllowed("Only an admin makes keys for others.", required_role="admin")
    check_key(actor, name, scopes, models, expires_at)
    if owner.api_keys.filter(revoked_at=None).count() >= MAX_KEYS_A_PERSON:
        raise Invalid(f"{owner.username} has {MAX_KEYS_A_PERSON} keys already. Revoke those that are not in use.")
    prefix, secret = new_secret()
    key = ApiKey.objects.create(
        name=name.strip(), owner=owner, prefix=prefix, sha256=hash_secret(secret),
        scopes=sorted(set(scopes)), allowed_models=None if models is None else sorted(set(models)),
        expires_at=expires_at,
    )  # fmt: skip
    record(actor, "api_key.create", key, after=describe(key), reason=reason)
    outbox.mark("keys", spec.KEYS_NAME)
    return NewKey(key, secret)


@transaction.atomic
def update_api_key(
    *,
    actor: Actor,
    key: ApiKey,
    seen: int,
    name: str | None = None,
    scopes: Sequence[str] | None = None,
    models: Any = KEEP,
    reason: str = "",
) -> ApiKey:
    """Change name, scopes or models of a live key; `seen` is the row version that the change was based on."""
    check_may_manage(actor, key)
    if key.revoked_at:
        raise InvalidTransition(f"The key {key.name!r} was revoked and cannot be changed. Make another.")
    new_name = key.name if name is None else name.strip()
    new_scopes = key.scopes if scopes is None else sorted(set(scopes))
    new_models = key.allowed_models if models is KEEP else (None if models is None else sorted(set(models)))
    check_key(actor, new_name, new_scopes, new_models, None)
    before = describe(key)
    swap(key, seen, name=new_name, scopes=new_scopes, allowed_models=new_models)
    record(actor, "api_key.update", key, before=before, after=describe(key), reason=reason)
    outbox.mark("keys", spec.KEYS_NAME)
    return key


@transaction.atomic
def rotate_api_key(*, actor: Actor, key: ApiKey, overlap: timedelta = timedelta(hours=24), reason: str = "") -> NewKey:
    """A new key with the same rights; the old one goes on until the overlap has passed, so clients change in peace."""
    check_may_manage(actor, key)
    now = timezone.now()
    if not key.is_valid_at(now):
        raise InvalidTransition(f"The key {key.name!r} is revoked or expired; nothing is left to rotate.")
    if ApiKey.objects.filter(replaces=key).exists():
        raise InvalidTransition(f"The key {key.name!r} was rotated already. Rotate the key that replaced it.")
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise Invalid.field("overlap_s", f"The overlap is between 0 and {MAX_OVERLAP.days} days.")
    prefix, secret = new_secret()
    life = key.expires_at - key.created_at if key.expires_at else None
    fresh = ApiKey.objects.create(
        name=key.name, owner=key.owner, prefix=prefix, sha256=hash_secret(secret), scopes=key.scopes,
        allowed_models=key.allowed_models, expires_at=now + life if life else None, replaces=key,
    )  # fmt: skip
    ends = now + overlap if key.expires_at is None else min(key.expires_at, now + overlap)
    before = describe(key)
    swap(key, key.row_version, expires_at=ends)
    record(actor, "api_key.rotate", key, before=before, after=describe(key) | {"replaced_by": fresh.pk}, reason=reason)
    outbox.mark("keys", spec.KEYS_NAME)
    return NewKey(fresh, secret)


@transaction.atomic
def revoke_api_key(*, actor: Actor, key: ApiKey, reason: str = "") -> ApiKey:
    """End a key now. Revoking a revoked key changes nothing."""
    check_may_manage(actor, key)
    if key.revoked_at:
        return key
    before = describe(key)
    swap(key, key.row_version, revoked_at=timezone.now())
    record(actor, "api_key.revoke", key, before=before, after=describe(key), reason=reason)
    outbox.mark("keys", spec.KEYS_NAME)
    return key


def note_key_use(key: ApiKey) -> None:
    """Remember that it was used, at most once a minute, and tried as seldom: reading must not wait for a writer."""
    now = timezone.now()
    if key.last_used_at and now - key.last_used_at < LAST_USED_STEP:
        return
    if not cache.add(f"key-used:{key.pk}", 1, timeout=LAST_USED_STEP.total_seconds()):
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_STEP)
    try:
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
    except OperationalError as error:  # another writer holds the database; what the key came for may still be read
        log.warning("api_key.use_not_noted", key=key.prefix, error=str(error))


def console_key(day: datetime | None = None) -> str:
    """The console's own key for the playground: derived from the day and the signing key, so it is stored nowhere.

    Gateways know its sha256, with scope `infer` alone and an expiry; `publish.build_keys` puts it there.
    """
    stamp = (day or timezone.now()).astimezone(UTC).strftime("%Y%m%d")
    digest = salted_hmac("console.accounts.console_key", stamp, algorithm="sha256").digest()
    return f"sy_console0_{urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def check_key(
    actor: Actor, name: str, scopes: Sequence[str], models: Sequence[str] | None, expires_at: datetime | None
) -> None:
    if not 1 <= len(name.strip()) <= 80:
        raise Invalid.field("name", "A key needs a name of 1 to 80 characters: say who or what uses it.")
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown or not scopes:
        raise Invalid.field("scopes", f"Give at least one of {', '.join(Scope.values)}; {unknown or 'none'} won't do.")
    beyond = frozenset().union(*(SCOPE_RIGHTS[scope] for scope in scopes)) - actor.rights
    if beyond - {NATIVE}:
        raise NotAllowed(f"You cannot give a key what you may not do yourself: {', '.join(sorted(beyond))}.")
    if models is not None and (len(models) > 500 or not all(MODEL_NAME.match(model) for model in models)):
        raise Invalid.field("models", "Give at most 500 names of models, or null for all.")
    if expires_at is not None and not timezone.now() < expires_at <= timezone.now() + MAX_LIFE:
        raise Invalid.field("expires_at", "A key's end lies in the future, at most three years ahead.")


def check_may_manage(actor: Actor, key: ApiKey) -> None:
    if key.owner != actor.person and not can(actor, ADMIN):
        raise NotAllowed(f"The key {key.name!r} belongs to {key.owner.username}.", required_role="admin")
    check_key_may(actor)


def check_key_may(actor: Actor) -> None:
    """A key must not outlive itself by making or rotating keys, unless it was made for such work."""
    if actor.actor_kind == "key" and not can(actor, ADMIN):
        raise NotAllowed("A key manages keys only with the scope 'admin'.", required_role="admin")


def describe(key: ApiKey) -> dict[str, object]:
    """What the audit shows of a key; never its text or hash."""
    return {
        "name": key.name,
        "owner": key.owner.username,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "models": key.allowed_models,
        "expires_at": as_of(key.expires_at),
        "revoked_at": as_of(key.revoked_at),
    }


def swap(key: ApiKey, seen: int, **changes: object) -> None:
    """Compare and set by row version; on success `key` shows the new state."""
    rows = ApiKey.objects.filter(pk=key.pk, row_version=seen).update(row_version=F("row_version") + 1, **changes)
    if rows != 1:
        raise StaleWrite(f"The key {key.name!r} was changed meanwhile; read it again and repeat.")
    key.refresh_from_db()
