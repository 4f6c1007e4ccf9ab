"""People, their API keys, and the record of what they did."""

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

from console.accounts.choices import Role, Theme
from console.lib.ids import new_ulid
from console.lib.rights import NATIVE, ROLE_RIGHTS, SCOPE_RIGHTS


class User(AbstractUser):
    """A person. `rights` follow from the role; `native` is given one by one."""

    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    native = models.BooleanField(default=False, help_text="May register formats that run code when loaded")
    theme = models.CharField(max_length=8, choices=Theme.choices, default=Theme.SYSTEM)
    shortcuts = models.BooleanField(default=True, help_text="Single-key shortcuts such as g m")
    page_size = models.PositiveSmallIntegerField(default=25)
    row_version = models.PositiveIntegerField(default=1)

    actor_kind = "user"

    @property
    def actor_id(self) -> str:
        return str(self.pk)

    @property
    def actor_name(self) -> str:
        return self.username

    @property
    def person(self) -> "User":
        return self

    @property
    def rights(self) -> frozenset[str]:
        if not self.is_active:
            return frozenset()
        return ROLE_RIGHTS[self.role] | ({NATIVE} if self.native else frozenset())


class ApiKey(models.Model):
    """`sy_<prefix>_<secret>`. Only its sha256 is kept: a key has 256 random bits, so a slow hash would buy nothing."""

    name = models.CharField(max_length=80)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    prefix = models.CharField(max_length=8, unique=True)
    sha256 = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    allowed_models = models.JSONField(null=True, default=None, help_text="Names it may call; null: all")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    replaces = models.OneToOneField("self", on_delete=models.SET_NULL, null=True, related_name="replaced_by")
    row_version = models.PositiveIntegerField(default=1)

    actor_kind = "key"
    is_authenticated = True  # DRF puts it where a page has its user
    is_anonymous = False

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name} (sy_{self.prefix}_…)"

    @property
    def actor_id(self) -> str:
        return str(self.pk)

    @property
    def actor_name(self) -> str:
        return self.name

    @property
    def person(self) -> User:
        return self.owner

    @property
    def rights(self) -> frozenset[str]:
        """What its scopes give, and never more than its owner may do now."""
        granted = frozenset().union(*(SCOPE_RIGHTS[scope] for scope in self.scopes))
        return granted & self.owner.rights

    def is_valid_at(self, now: Any) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at) and self.owner.is_active


class LoginLink(models.Model):
    """A link that logs its user in once, within minutes. Only the token's sha256 is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE)
    sha256 = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)


class AuditHead(models.Model):
    """One row: the end of the chain. Writers take its lock, so events are numbered in the order they commit."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    number = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="0" * 64)


class AppendOnly(models.QuerySet["AuditEvent"]):
    def update(self, **kwargs: Any) -> int:
        raise TypeError("Audit events are append-only.")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise TypeError("Audit events are append-only.")


class AuditEvent(models.Model):
    """Who did what to which thing, before and after, and why. Each row carries the hash of the row before it."""

    id = models.CharField(primary_key=True, max_length=26, default=new_ulid, editable=False)
    number = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=8)
    actor_id = models.CharField(max_length=32, blank=True)
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=200)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.CharField(max_length=500, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    objects = AppendOnly.as_manager()

    class Meta:
        ordering = ["-number"]
        indexes = [
            models.Index(fields=["subject", "-number"], name="audit_by_subject"),
            models.Index(fields=["action", "-number"], name="audit_by_action"),
            models.Index(fields=["actor_kind", "actor_id", "-number"], name="audit_by_actor"),
        ]

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("Audit events are append-only.")
