"""One-time login links, and the end of the password that `up` wrote down."""

import hashlib
import json
import os
import secrets
from datetime import timedelta
from pathlib import Path

import structlog
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from console.accounts.models import LoginLink, User
from console.accounts.services.audit import record
from console.lib.actors import Actor
from console.lib.errors import NotAllowed

log = structlog.get_logger()

LIFE = timedelta(minutes=10)


@transaction.atomic
def create_login_link(*, actor: Actor, user: User) -> str:
    """The path of a link that logs `user` in once, within ten minutes."""
    if not user.is_active:
        raise NotAllowed(f"{user.username} is not active, so no link can log them in.")
    token = secrets.token_urlsafe(32)
    now = timezone.now()
    LoginLink.objects.filter(expires_at__lt=now - timedelta(days=1)).delete()
    LoginLink.objects.create(user=user, sha256=hash_token(token), expires_at=now + LIFE)
    record(actor, "login_link.create", user)
    return reverse("login_link", args=[token])


@transaction.atomic
def consume_login_link(token: str) -> User:
    """The user of a fresh link; the link is used up. Two at once: one of them wins."""
    now = timezone.now()
    fresh = LoginLink.objects.filter(sha256=hash_token(token), used_at=None, expires_at__gt=now, user__is_active=True)
    link = fresh.select_related("user").first()
    if link is None or LoginLink.objects.filter(pk=link.pk, used_at=None).update(used_at=now) != 1:
        raise NotAllowed("This login link was used already or is older than ten minutes. Ask for another, or log in.")
    record(link.user, "login_link.use", link.user)
    return link.user


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def forget_admin_password(user: User) -> None:
    """`up.json` holds the generated password of the first admin until it is first changed; from then on null."""
    path = Path(settings.DATA_DIR) / "up.json"
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError):
        return  # not started by `up`, or being rewritten by it: `up` itself checks before it writes
    if facts.get("admin_user") != user.username or facts.get("admin_password") is None:
        return
    facts["admin_password"] = None
    fresh = path.with_name(f".up.json.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(facts, file, indent=2)
        fresh.replace(path)
    except OSError as error:
        log.warning("up_json.not_rewritten", error=str(error))
        fresh.unlink(missing_ok=True)
