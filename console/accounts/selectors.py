"""Reading people, keys and the record."""

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from console.accounts.models import ApiKey, AuditEvent, User
from console.lib.actors import Actor
from console.lib.errors import Missing
from console.lib.permissions import can
from console.lib.rights import ADMIN


def list_api_keys(actor: Actor, *, everyone: bool = False) -> QuerySet[ApiKey]:
    """The actor's own keys; an admin may see everyone's. Newest first, revoked ones among them."""
    keys = ApiKey.objects.select_related("owner", "replaces").order_by("-created_at", "-pk")
    if everyone and can(actor, ADMIN):
        return keys
    return keys.filter(owner=actor.person)


def get_api_key(actor: Actor, key_id: int) -> ApiKey:
    found = list_api_keys(actor, everyone=True).filter(pk=key_id).first()
    if found is None:
        raise Missing(f"You have no API key {key_id}.")
    return found


def state_of(key: ApiKey) -> str:
    """`active`, `expiring` (within a week), `expired` or `revoked`, as lists show it."""
    now = timezone.now()
    if key.revoked_at:
        return "revoked"
    if key.expires_at is None:
        return "active"
    if key.expires_at <= now:
        return "expired"
    return "expiring" if key.expires_at - now < timedelta(days=7) else "active"


def list_users() -> QuerySet[User]:
    return User.objects.order_by("username")


def get_user(user_id: int) -> User:
    found = User.objects.filter(pk=user_id).first()
    if found is None:
        raise Missing(f"There is no user {user_id}.")
    return found


def list_audit() -> QuerySet[AuditEvent]:
    """Newest first. Filters stand in `accounts.filters.AuditFilter`, for pages and API alike."""
    return AuditEvent.objects.order_by("-number")


def get_audit_event(event_id: str) -> AuditEvent:
    found = AuditEvent.objects.filter(pk=event_id).first()
    if found is None:
        raise Missing(f"There is no audit event {event_id}.")
    return found


def list_audit_of(subject: str, limit: int = 50) -> list[AuditEvent]:
    """The newest events of one thing, such as `model/minilm`, and of what lies under it."""
    own = AuditEvent.objects.filter(subject=subject) | AuditEvent.objects.filter(subject__startswith=f"{subject}/")
    return list(own.order_by("-number")[:limit])


def list_audit_actions() -> list[str]:
    return list(AuditEvent.objects.order_by("action").values_list("action", flat=True).distinct())
