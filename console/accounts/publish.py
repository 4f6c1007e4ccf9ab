"""The `keys` document: what gateways must know to let a client in."""

from datetime import UTC, datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from console.accounts.choices import Scope
from console.accounts.models import ApiKey
from console.accounts.services.keys import console_key, hash_secret
from console.lib.outbox import Stamp
from console.lib.rights import NATIVE, SCOPE_RIGHTS
from inference import spec

CONSOLE_SCOPES = ("infer",)


def build_keys(key: str, stamp: Stamp) -> spec.KeysSpec:  # noqa: ARG001  one document, so one key
    """Every valid key, and the console's own of yesterday, today and tomorrow. A revoked key is simply gone."""
    now = timezone.now()
    valid = ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None, owner__is_active=True)
    keys = [
        spec.ApiKey(
            id=str(held.pk),
            name=held.name,
            sha256=held.sha256,
            scopes=granted_scopes(held),
            models=None if held.allowed_models is None else tuple(held.allowed_models),
            expires_at_s=held.expires_at.timestamp() if held.expires_at else None,
        )
        for held in valid.select_related("owner").order_by("pk")
    ]
    return spec.KeysSpec(epoch=stamp.epoch, generation=stamp.generation, keys=(*keys, *console_keys(now)))


def granted_scopes(key: ApiKey) -> tuple[str, ...]:
    """Its scopes, `admin` spelt out, less those that its owner's role no longer covers: gateways need no rules."""
    given = Scope.values if Scope.ADMIN in key.scopes else key.scopes
    return tuple(scope for scope in given if SCOPE_RIGHTS[scope] - {NATIVE} <= key.rights)


def console_keys(now: datetime) -> list[spec.ApiKey]:
    # Tomorrow's is known today, and yesterday's lasts a while: midnight passes without a refused request.
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        spec.ApiKey(
            id=f"console-{day:%Y%m%d}",
            name="console",
            sha256=hash_secret(console_key(day)),
            scopes=CONSOLE_SCOPES,
            expires_at_s=(day + timedelta(days=1, minutes=10)).timestamp(),
        )
        for day in (midnight + timedelta(days=offset) for offset in (-1, 0, 1))
    ]
